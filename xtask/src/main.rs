//! `cargo xtask ...`: the developer's commands.

mod bench;
mod cargo;
#[cfg(unix)]
mod chaos;
mod containers;
mod features;
mod mutants;
mod servers;
mod simulate;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// The developer's commands of Distlock.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Measure what locks cost, side by side with the floor and with other ways of locking.
    #[command(disable_help_flag = true)]
    Bench(bench::Options),

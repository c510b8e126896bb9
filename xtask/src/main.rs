//! `cargo xtask ...`: the developer's commands.

#[cfg(unix)]
mod chaos;

use std::process::ExitCode;

use clap::Parser;

/// The developer's commands of Distlock.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Stop, kill and rob real client processes at random, and prove that no invariant is broken.
    #[cfg(unix)]
    Chaos(chaos::Options),
    /// One client of a chaos run.
    #[cfg(unix)]
    #[command(hide = true)]
    ChaosClient(chaos::ClientOptions),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        #[cfg(unix)]
        Command::Chaos(options) => chaos::run(&options).map(|()| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::ChaosClient(options) => chaos::run_client(&options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

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
    /// Provide the servers that the tests need, run all tests, and then a short chaos.
    Test(test::Options),
    /// Make container images of the servers that are here, for tests in containers.
    Images(servers::Options),
    /// Show where the servers' programs are, as lines for a shell; those that are missing are fetched.
    Servers(servers::Options),
    /// Stop, kill and rob real client processes at random, and prove that no invariant is broken.
    #[cfg(unix)]
    Chaos(chaos::Options),
    /// Try lock-core in its deterministic simulation, seed after seed.
    Simulate(simulate::Options),
    /// Take each guard out of the code, and see that some test notices.
    Mutants(mutants::Options),
    /// One client of a chaos run.
    #[cfg(unix)]
    #[command(hide = true)]
    ChaosClient(chaos::ClientOptions),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(options) => bench::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Images(options) => servers::images(&options).map(|()| ExitCode::SUCCESS),
        Command::Servers(options) => servers::servers(&options).map(|()| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::Chaos(options) => chaos(&options),
        Command::Simulate(options) => simulate::run(&options),
        Command::Mutants(options) => mutants::run(&options).map(|()| ExitCode::SUCCESS),
        #[cfg(unix)]
        Command::ChaosClient(options) => chaos::run_client(&options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(unix)]
fn chaos(options: &chaos::Options) -> anyhow::Result<ExitCode> {
    match servers::again_with(options.backend.servers())? {
        Some(ended) => Ok(ended),
        None => chaos::run(options).map(|()| ExitCode::SUCCESS),
    }
}

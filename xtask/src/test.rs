//! `cargo xtask test`: everything that must hold, by one command.

use std::ffi::OsString;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cargo::{cargo, exit_code};
use crate::containers::Containers;
use crate::features::of_tests;
use crate::servers::{Server, Servers};

/// How the tests are run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the tests of this package (several are possible). The chaos is left out then.
    #[arg(short, long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Afterwards also the backends' tests against newer servers: Redis 8, Valkey 8 and etcd 3.5, where the
    /// distribution's newer suite has them.
    #[arg(long)]
    newer: bool,
    /// Passed on to `cargo test`, as in `cargo xtask test -- fault_07`. The chaos is left out then.
    #[arg(last = true, value_name = "OPTION")]
    passed_on: Vec<OsString>,
}

/// Provides the servers, runs all tests, and then a short chaos. The exit code is that of what failed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let began = Instant::now();
    let code = run_all(options);
    // A build is a part of it. Who reads the last lines of a log sees whether it stays within what is bearable.
    println!("cargo xtask test: took {}", minutes(began.elapsed()));
    code
}

fn run_all(options: &Options) -> Result<ExitCode> {
    let wanted = wanted(&options.packages);
    let servers = Servers::provide(&wanted)?;
    let containers = Containers::provide(&wanted, &servers);
    containers.tell();

    let mut command = tests(&options.packages, containers.are_there())?;
    command.envs(servers.environment()).envs(containers.environment()).args(&options.passed_on);
    // The runner's output is its own, to the last line: nothing is caught or reworded.
    let status = command.status()?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    if options.newer {
        let status = newer(options, &wanted)?;
        if !status.success() {
            return Ok(exit_code(status));
        }
    }
    if options.packages.is_empty() && options.passed_on.is_empty() {
        short_chaos()?;
    }
    if !containers.are_there() {
        containers.tell();
    }
    Ok(ExitCode::SUCCESS)
}

fn minutes(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}

/// The servers that the tests of these packages need; of no package: of all.
fn wanted(packages: &[String]) -> Vec<Server> {
    let needs = |server: &Server| packages.iter().any(|package| Server::of_package(package).contains(server));
    Server::ALL.into_iter().filter(|server| packages.is_empty() || needs(server)).collect()
}

/// All tests of the packages. Those in containers are a feature: without an engine they would fail, as they should.
fn tests(packages: &[String], containers: bool) -> Result<Command> {
    let mut command = cargo();
    command.arg("test");
    if packages.is_empty() {
        command.arg("--workspace");
    }
    for package in packages {
        command.args(["--package", package]);
    }
    command.args(["--features", &of_tests(packages, containers)?]);
    Ok(command)
}

/// The tests of the backends of which there are newer servers, as processes and in containers.
fn newer(options: &Options, wanted: &[Server]) -> Result<ExitStatus> {
    let mut status = ExitStatus::default();
    for server in Server::NEWER {
        let tested = wanted.iter().any(|wanted| wanted.package() == server.package());
        if tested && status.success() {
            let servers = Servers::newer(server)?;
            let containers = Containers::made_of(server, &servers);
            println!("\nnewer servers: {server:?}");
            containers.tell();
            let mut command = tests(&[server.package().to_owned()], containers.are_there())?;
            command.envs(servers.environment()).envs(containers.environment()).args(&options.passed_on);
            status = command.status()?;
        }
    }
    Ok(status)
}

/// The seed is fixed, so that who sees it fail can see it again. (Scheduling isn't, so not every time.)
#[cfg(unix)]
fn short_chaos() -> Result<()> {
    use clap::Parser;

    #[derive(Parser)]
    struct Short {
        #[command(flatten)]
        options: crate::chaos::Options,
    }
    crate::chaos::run(&Short::parse_from(["chaos", "--seconds", "8", "--seed", "1"]).options)
}

#[cfg(not(unix))]
fn short_chaos() -> Result<()> {
    println!("chaos: not on this system, which has no SIGSTOP");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_minutes() {
        assert_eq!(minutes(Duration::from_millis(754_900)), "12 min 34 s");
    }

    #[test]
    fn servers_are_provided_for_the_packages_that_are_tested() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(wanted(&[]), Server::ALL);
        assert_eq!(wanted(&names(&["lock-core", "lock-redis"])), [Server::Redis]);
        assert_eq!(wanted(&names(&["lock-file"])), []);
        assert_eq!(wanted(&names(&["distlock"])), Server::ALL);
    }
}

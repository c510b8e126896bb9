//! `cargo xtask bench`: what locks cost, side by side with the floor and with the peers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::cargo::{cargo, exit_code, root};
use crate::servers::{Server, Servers};

/// How it is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Passed on: `--backend file`, `--quick`, `--only handoff`, `--python`, ...; `--help` tells all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

/// Provides the servers, builds the command and the benchmarks as they are released, and runs them.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let servers = Servers::provide(&wanted(&options.options))?;
    let packages = ["--package", "lock-cli", "--package", "distlock-bench"];
    let features = "distlock-bench/peers,lock-cli/redis,lock-cli/etcd,lock-cli/consul";
    let built = cargo().args(["build", "--release", "--features", features]).args(packages).status()?;
    ensure!(built.success(), "building failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut bench = Command::new(target.join("release").join("distlock-bench"));
    bench.current_dir(root()).envs(servers.environment()).arg("run").args(&options.options);
    Ok(exit_code(bench.status()?))
}

/// The servers of the stores that are to be measured; all, unless some are named. Whether a name is one, and all else,
/// is the other program's to say.
fn wanted(options: &[OsString]) -> Vec<Server> {
    let options: Vec<&str> = options.iter().filter_map(|option| option.to_str()).collect();
    if options.iter().any(|option| ["--help", "-h"].contains(option)) {
        return Vec::new();
    }
    let named = |(at, option): (usize, &&str)| match option.strip_prefix("--backend")? {
        "" => options.get(at + 1).map(|name| (*name).to_owned()),
        rest => rest.strip_prefix('=').map(str::to_owned),
    };
    let stores: Vec<String> = options.iter().enumerate().filter_map(named).collect();
    let is_measured =
        |server: &Server| stores.is_empty() || stores.iter().any(|store| server.package() == format!("lock-{store}"));
    Server::ALL.into_iter().filter(is_measured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_provided_for_the_stores_that_are_measured() {
        let wanted = |options: &[&str]| wanted(&options.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(wanted(&["--quick"]), Server::ALL);
        assert_eq!(wanted(&["--backend", "file", "--quick"]), []);
        assert_eq!(wanted(&["--quick", "--backend=redis", "--backend", "consul"]), [Server::Redis, Server::Consul]);
        assert_eq!(wanted(&["--help"]), []);
    }
}

//! `cargo xtask bench`: what locks cost, side by side with the floor and with the peers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::cargo::{cargo, exit_code, root};

/// How it is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Passed on: `--backend file`, `--quick`, `--only handoff`, `--python`, ...; `--help` tells all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

/// Builds the command and the benchmarks as they are released, and runs them. They start the servers themselves.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let packages = ["--package", "lock-cli", "--package", "distlock-bench"];
    let features = "distlock-bench/peers,lock-cli/redis,lock-cli/etcd,lock-cli/consul";
    let built = cargo().args(["build", "--release", "--features", features]).args(packages).status()?;
    ensure!(built.success(), "building failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut bench = Command::new(target.join("release").join("distlock-bench"));
    Ok(exit_code(bench.current_dir(root()).arg("run").args(&options.options).status()?))
}

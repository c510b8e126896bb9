//! `cargo xtask test`: everything that must hold, by one command.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, exit_code};

/// How the tests are run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Passed on to `cargo test`, as in `cargo xtask test -- fault_07`. The chaos is left out then.
    #[arg(last = true)]
    options: Vec<OsString>,
}

/// Runs all tests, and then a short chaos. The exit code is that of what failed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    // The runner's output is its own, to the last line: nothing is caught or reworded.
    let status = cargo().args(["test", "--workspace", "--all-features"]).args(&options.options).status()?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    if options.options.is_empty() {
        short_chaos()?;
    }
    Ok(ExitCode::SUCCESS)
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

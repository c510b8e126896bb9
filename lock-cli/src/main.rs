//! The command `distlock`: runs a program under a lock, and tells who holds one.
//!
//! `distlock run KEY -- COMMAND` is three processes: this one, which keeps the lock; the command;
//! and a guardian, which outlives this one just long enough to take the command down with it.

#[cfg(not(unix))]
compile_error!("the command distlock needs process groups and signals, so a Unix; the libraries don't");

mod args;
mod commands;
mod doctor;
mod exit;
mod generate;
mod holder;
mod inspect;
mod json;
mod logging;
mod output;
mod redact;
mod run;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The two small roles of this program come before everything that costs time.
    let code = match run::role() {
        Some(code) => code,
        None => commands::main(),
    };
    ExitCode::from(code)
}

//! From the command line to an exit code.

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::{self, Failure};
use crate::{doctor, generate, inspect, logging, output, redact, run};

/// The whole program; its exit code.
pub(crate) fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    match logging::start().and_then(|()| perform(cli.command)) {
        Ok(code) => code,
        Err(failure) => {
            output::say(&failure.message);
            failure.code
        }
    }
}

fn perform(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::manual(dir.as_deref()),
        // On this thread, the first: a command is to die with the thread that started it.
        command => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(exit::UNAVAILABLE, format!("can't start: {error}")))?
            .block_on(async {
                match command {
                    Command::Run(args) => run::run(args).await,
                    Command::Status(args) => inspect::status(args).await,
                    Command::List(args) => inspect::list(args).await,
                    Command::Break(args) => inspect::take_away(args).await,
                    Command::Doctor(args) => doctor::doctor(args).await,
                    Command::Completions { .. } | Command::Man { .. } => Ok(exit::DONE),
                }
            }),
    }
}

/// What clap has to say: help and versions are answers, everything else is wrong usage.
fn misread(error: &clap::Error) -> u8 {
    if error.use_stderr() {
        // Not printed by clap: it quotes arguments, and a mistyped one may be a URL with a password.
        output::say_raw(&redact::text(&error.render().to_string()));
        return exit::USAGE;
    }
    // A reader that has gone has read enough.
    let _ = error.print();
    exit::DONE
}

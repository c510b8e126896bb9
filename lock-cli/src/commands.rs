//! From the command line to an exit code.

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{Cli, Command};
use crate::exit::{self, Failure};
use crate::{doctor, generate, inspect, logging, output, redact, run};

/// The whole program; its exit code.
pub(crate) fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(error),
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
fn misread(mut error: clap::Error) -> u8 {
    if error.use_stderr() {
        let note = if is_about_a_key_of_run(&error) {
            // "use '-- -k'", clap would say. To `run` these dashes begin the command.
            error.remove(ContextKind::Suggested);
            "\nA KEY that begins with \"-\" can't be used with run: its \"--\" begins the COMMAND.\n"
        } else {
            ""
        };
        // Not printed by clap: it quotes arguments, and a mistyped one may be a URL with a password.
        output::say_raw(&redact::text(&format!("{}{note}", error.render())));
        return exit::USAGE;
    }
    // A reader that has gone has read enough.
    let _ = error.print();
    exit::DONE
}

/// Whether what `run` was given may be meant as a key that looks like an option.
fn is_about_a_key_of_run(error: &clap::Error) -> bool {
    let lacks_key = || match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(lacking)) => lacking.iter().any(|argument| argument == "<KEY>"),
        _ => false,
    };
    std::env::args_os().nth(1).is_some_and(|command| command == "run")
        && match error.kind() {
            ErrorKind::UnknownArgument => true,
            ErrorKind::MissingRequiredArgument => lacks_key(),
            _ => false,
        }
}

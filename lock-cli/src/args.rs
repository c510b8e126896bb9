//! The command line: what `--help`, the completions and the manual pages are made of, too.

// What stands here is printed as it is: it's help for a terminal, not Markdown.
#![expect(clippy::doc_markdown)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Run a command under a lock, so that it runs once at a time: on this host with nothing to
/// install, or on many hosts through a lock server.
#[derive(Debug, Parser)]
#[command(name = "distlock", version, propagate_version = true, after_long_help = STORES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command while holding a lock
    #[command(after_long_help = RUN)]
    Run(RunArgs),
    /// Tell who holds a lock; exits 0 when it is held, 1 when it is free
    Status(StatusArgs),
    /// List every lock held
    List(ListArgs),
    /// Take a lock away from its holder; exits 0 when it did, 1 when it was free or the token differed
    Break(BreakArgs),
    /// Check the store before you depend on it; exits 0 when all is good, 1 with warnings, 69 or 77 when unusable
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write a page for each command into this directory instead
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// How long others wait at most should this host hang: 15s, 2m, 500ms [env: DISTLOCK_TTL] [default: 15s]
    ///
    /// While the command runs the lock is renewed three times in this time. Who is paused for
    /// longer loses it.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,

    /// How long to wait for the lock at most; exits 75 after that [env: DISTLOCK_WAIT] [default: without end]
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "no_wait")]
    pub(crate) wait: Option<Duration>,

    /// Don't wait: exit 75 at once when someone else holds the lock
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// A note for people who find the lock taken
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,

    /// Stop a command that runs longer than this; exits 79 then
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) max_hold: Option<Duration>,

    /// How long a command that has to stop may take from TERM to KILL
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    pub(crate) kill_after: Duration,

    /// The lock's name; it must not begin with "-"
    pub(crate) key: OsString,

    /// The command to run, and its arguments; no shell reads them
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Print JSON: the holder, or null when the lock is free
    #[arg(long)]
    pub(crate) json: bool,

    /// The lock's name
    pub(crate) key: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Print JSON: an array of holders
    #[arg(long)]
    pub(crate) json: bool,

    /// Only locks whose name begins with this
    pub(crate) prefix: Option<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct BreakArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Only if the holder's token is this one, so that no later holder is hit by mistake
    #[arg(long, value_name = "TOKEN")]
    pub(crate) if_token: Option<u64>,

    /// The lock's name
    pub(crate) key: OsString,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Print JSON: an array of findings
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The lock store, such as file:///var/lock/app or redis://host [env: DISTLOCK_URL] [default: file:]
    ///
    /// Others on this host can read the command line: put a URL with a password into the
    /// environment variable.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

const STORES: &str = "\
Environment:
  DISTLOCK_URL   the lock store, where --url isn't given
  DISTLOCK_TTL   as --ttl
  DISTLOCK_WAIT  as --wait
  DISTLOCK_DIR   the directory of \"file:\"; default: $XDG_RUNTIME_DIR/distlock,
                 else a directory of this user's below the system's temporary one
  DISTLOCK_LOG   what to log to stderr: error, warn, info, debug, trace

Exit codes:
  75   not acquired: someone else holds the lock
  79   the lock was lost while the command ran; the command was stopped
  69   the store can't be reached or refused us
  64   wrong usage: option, key, TTL or URL
  77   permission denied
  126  the command can't be executed
  127  the command isn't found
  else as the command exited; 128+N when signal N killed it";

const RUN: &str = "\
The command sees DISTLOCK_KEY, DISTLOCK_TOKEN (the fencing token: greater with each
holder; give it to what the lock protects) and DISTLOCK_OWNER. It runs in a process
group of its own, and is passed the signals TERM, INT, HUP, QUIT, USR1 and USR2.

When the lock is lost, or --max-hold passes, the group is sent TERM, and KILL after
--kill-after; the exit code is 79. Should distlock itself be killed, so is the group.
What the command leaves running when it ends by itself goes on, without the lock.

Examples:
  distlock run backup -- rsync -a /data backup:/data
  distlock run --no-wait --label \"release 1.4\" deploy -- ./deploy.sh
  distlock run --ttl 30s --max-hold 1h reports/nightly -- make report";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        super::Cli::command().debug_assert();
    }
}

//! Starting the command, so that it can't outlive the lock unnoticed.
//!
//! Between this process and the command stands this program once more, for a moment, in the
//! command's own process: it asks the kernel to be killed with its parent, and becomes the
//! command. (What runs between fork and exec is otherwise out of reach of safe code.)

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::Command;

use distlock::LockGuard;
use rustix::process::{Pid, getpid, getppid};
use tokio::signal::unix::{SignalKind, signal};

use super::group::Group;
use super::guardian::{self, Guardian};
use super::terminal;
use crate::exit::{self, Failure};
use crate::output::{plain, say};
use crate::{redact, settings};

/// The name by which this program knows its role.
pub(super) const ROLE: &str = "__start";

/// Gives the terminal to the command.
const FOREGROUND: &str = "foreground";
/// Leaves the terminal, if there is one, to whoever has it.
const BACKGROUND: &str = "background";

/// Starts `words` in a process group of its own.
pub(super) fn start(words: &[OsString], guard: &LockGuard) -> Result<Group, Failure> {
    let cannot = |error: io::Error| Failure::new(exit::NOT_EXECUTABLE, format!("can't start the command: {error}"));
    // Listened to before there is a child, so that none of its changes is missed.
    let changes = signal(SignalKind::child()).map_err(cannot)?;
    let terminal = if terminal::is_ours() { FOREGROUND } else { BACKGROUND };
    let mut command = this_program(ROLE).map_err(cannot)?;
    command.env("DISTLOCK_KEY", guard.key().as_str());
    command.env("DISTLOCK_TOKEN", guard.fencing_token().to_string());
    command.env("DISTLOCK_OWNER", guard.owner().to_string());
    if let Some(url) = env::var_os(settings::URL) {
        command.env(settings::URL, redact::url(&url.to_string_lossy()));
    }
    let mut guardian = Guardian::start();
    let guardian_id = guardian.as_ref().map_or(0, Guardian::id);
    command.args([&getpid().to_string(), &guardian_id.to_string(), terminal]).args(words).process_group(0);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            if let Some(guardian) = guardian {
                guardian.dismiss();
            }
            return Err(cannot(error));
        }
    };
    let leader = Pid::from_child(&child);
    if let Some(guardian) = &mut guardian {
        guardian.guard(leader);
    }
    Ok(Group::new(leader, changes, guardian))
}

/// This very program, whatever became of its file, in one of its small roles.
pub(super) fn this_program(role: &str) -> io::Result<Command> {
    let path = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { env::current_exe()? };
    let mut command = Command::new(path);
    command.arg0("distlock").arg(role);
    Ok(command)
}

/// The role: becomes the command, or tells why not by its exit code.
pub(super) fn main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let mut next = || arguments.next();
    let (Some(parent), Some(guardian), Some(terminal), Some(program)) = (next(), next(), next(), next()) else {
        say("this is for distlock's own use");
        return exit::USAGE;
    };
    die_with_parent();
    // After the wish, never before it: a parent that died in between would be missed.
    if getppid().map(|pid| pid.to_string().into()) != Some(parent) {
        return exit::LOST;
    }
    guardian::report_to(&guardian, getpid());
    if terminal == FOREGROUND {
        terminal::give_to(getpid());
    }
    let error = Command::new(&program).args(arguments).exec();
    not_started(&program, &error)
}

#[cfg(target_os = "linux")]
fn die_with_parent() {
    // It fails for no signal that exists.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Elsewhere the guardian alone sees to it.
#[cfg(not(target_os = "linux"))]
fn die_with_parent() {}

fn not_started(program: &OsStr, error: &io::Error) -> u8 {
    let shown = redact::text(&plain(&program.to_string_lossy()));
    if error.kind() == ErrorKind::NotFound {
        say(&format!("the command \"{shown}\" isn't found"));
        return exit::NOT_FOUND;
    }
    say(&format!("the command \"{shown}\" can't be executed: {error}"));
    exit::NOT_EXECUTABLE
}

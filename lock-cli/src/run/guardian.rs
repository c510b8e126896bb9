//! The guardian: a small process that outlives `distlock` should that be killed, just long enough
//! to kill the command's whole group.
//!
//! The kernel's parent-death signal reaches the command alone: a script would be killed and what
//! it had started would run on without the lock. And only Linux has it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{PipeWriter, Read, Write, pipe, stdin};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::start::this_program;
use crate::exit;

/// The name by which this program knows its role.
pub(super) const ROLE: &str = "__guard";

/// The guardian, seen from `distlock`.
pub(super) struct Guardian {
    process: Child,
    /// Tells it what to guard. Its end, however it comes about, is the guardian's call to arms. Not
    /// inherited by the command.
    alive: PipeWriter,
}

impl Guardian {
    /// Starts a guardian, before there is anything to guard; `None` if none can be started, which
    /// the command need not suffer for.
    ///
    /// It has a process group of its own from its first moment: what is meant for distlock's group
    /// doesn't reach it.
    pub(super) fn start() -> Option<Self> {
        let started = pipe().and_then(|(reader, alive)| {
            let mut guardian = this_program(ROLE)?;
            // Nothing of ours is kept open: who reads our output to its end must not wait for it.
            guardian.stdin(reader).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            Ok(Self { process: guardian.spawn()?, alive })
        });
        started.inspect_err(|error| tracing::warn!(%error, "no guardian could be started")).ok()
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// From now on it guards this group.
    pub(super) fn guard(&mut self, group: Pid) {
        if let Err(error) = self.alive.write_all(&line(group)) {
            tracing::warn!(%error, "the guardian is gone");
        }
    }

    /// All went well: it goes without a deed. (Dropped, it would take the group with it.)
    pub(super) fn dismiss(mut self) {
        // Not waited for: whom SIGKILL was sent to takes no further step, even if its pipe ends first.
        // Whoever inherits this process's children buries it.
        let _ = self.process.kill();
    }
}

/// Tells the guardian of the own group, from the process that is about to become the command: it is
/// guarded before its first step, however late its parent gets to say so.
///
/// The guardian's standard input is a pipe; Linux lets others open its writing end. Elsewhere this
/// does nothing, and the parent's word has to do.
pub(super) fn report_to(guardian: &OsStr, group: Pid) {
    let pipe = Path::new("/proc").join(guardian).join("fd/0");
    if let Ok(mut pipe) = File::options().write(true).open(pipe) {
        let _ = pipe.write_all(&line(group));
    }
}

/// In one write: two may write at once, and only so a pipe keeps them apart.
fn line(group: Pid) -> Vec<u8> {
    format!("{group}\n").into_bytes()
}

/// The role: waits until `distlock` is gone, and kills the group.
pub(super) fn main() -> u8 {
    let mut told = String::new();
    // To its end, which is distlock's.
    let _ = stdin().read_to_string(&mut told);
    let Some(group) = told.lines().last().and_then(group_named) else { return exit::USAGE };
    let _ = kill_process_group(group, Signal::KILL);
    exit::DONE
}

/// The group that a text names. Never 1: to the kernel, "group 1" is every process there is.
fn group_named(text: &str) -> Option<Pid> {
    let number = text.parse().ok().filter(|number| *number > 1)?;
    Pid::from_raw(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tested here alone: a process that got this wrong would kill everything that it may.
    #[test]
    fn no_argument_names_every_process_or_our_own_group() {
        for argument in ["0", "1", "-1", "-5", "", "x", "99999999999"] {
            assert_eq!(group_named(argument), None, "{argument}");
        }
        assert_eq!(group_named("1234"), Pid::from_raw(1234));
    }
}

//! The guardian: a small process that outlives `distlock` should that be killed, just long enough
//! to kill the command's whole group.
//!
//! The kernel's parent-death signal reaches the command alone: a script would be killed and what
//! it had started would run on without the lock. And only Linux has it.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, PipeWriter, Read, pipe, stdin};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process_group, setsid};

use super::start::this_program;
use crate::exit;

/// The name by which this program knows its role.
pub(super) const ROLE: &str = "__guard";

/// The guardian of a group, seen from `distlock`.
pub(super) struct Guardian {
    process: Child,
    /// Its end, however it comes about, is the guardian's call to arms. Not inherited by the command.
    _alive: PipeWriter,
}

impl Guardian {
    /// Sets a guardian over a group; `None` if none can be started, which the command need not
    /// suffer for.
    pub(super) fn of(group: Pid) -> Option<Self> {
        let started = pipe().and_then(|(reader, alive)| {
            let mut guardian = this_program(ROLE)?;
            // Nothing of ours is kept open: who reads our output to its end must not wait for it.
            guardian.arg(group.to_string()).stdin(reader).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(Self { process: guardian.spawn()?, _alive: alive })
        });
        started.inspect_err(|error| tracing::warn!(%error, "no guardian could be started")).ok()
    }

    /// All went well: it goes without a deed. (Dropped, it would take the group with it.)
    pub(super) fn dismiss(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The role: waits until `distlock` is gone, and kills the group.
pub(super) fn main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let Some(group) = arguments.next().as_deref().and_then(group_named) else { return exit::USAGE };
    // A session of its own: what is meant for the terminal's processes, or for distlock's group,
    // doesn't reach it.
    let _ = setsid();
    let mut byte = [0];
    while stdin().read(&mut byte).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
    let _ = kill_process_group(group, Signal::KILL);
    exit::DONE
}

/// The group that an argument names. Never 1: to the kernel, "group 1" is every process there is.
fn group_named(argument: &OsStr) -> Option<Pid> {
    let number = argument.to_str()?.parse().ok().filter(|number| *number > 1)?;
    Pid::from_raw(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tested here alone: a process that got this wrong would kill everything that it may.
    #[test]
    fn no_argument_names_every_process_or_our_own_group() {
        for argument in ["0", "1", "-1", "-5", "", "x", "99999999999"] {
            assert_eq!(group_named(OsStr::new(argument)), None, "{argument}");
        }
        assert_eq!(group_named(OsStr::new("1234")), Pid::from_raw(1234));
    }
}

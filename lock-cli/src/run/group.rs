//! The command's process group: its leader, and whatever that has started.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::signal::unix;

use super::guardian::Guardian;
use crate::exit;

/// The command's process group.
pub(super) struct Group {
    /// The leader's process id is the group's.
    id: Pid,
    changes: unix::Signal,
    guardian: Option<Guardian>,
}

/// What became of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It has ended, with this exit code as shells count.
    Exited(u8),
    /// It was stopped by this signal.
    Stopped(Signal),
}

impl Group {
    pub(super) fn new(id: Pid, changes: unix::Signal, guardian: Option<Guardian>) -> Self {
        Self { id, changes, guardian }
    }

    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// Sends a signal to every process of the group. That none is left is fine.
    pub(super) fn send(&self, signal: Signal) {
        let _ = kill_process_group(self.id, signal);
    }

    /// Whether nobody of the group lives.
    pub(super) fn is_gone(&self) -> bool {
        // Orphans of the group are ours to bury when this process is a container's first one.
        while let Ok(Some(_)) = waitpgid(self.id, WaitOptions::NOHANG) {}
        test_kill_process_group(self.id) == Err(Errno::SRCH)
    }

    /// Waits until the leader ends or stops. Dropping the future loses nothing.
    pub(super) async fn change(&mut self) -> Change {
        loop {
            if let Some(change) = self.look() {
                return change;
            }
            self.changes.recv().await;
        }
    }

    /// The group is done with; what the command left running in it, or elsewhere, may go on.
    pub(super) fn leave(self) {
        if let Some(guardian) = self.guardian {
            guardian.dismiss();
        }
    }

    fn look(&self) -> Option<Change> {
        loop {
            let (who, status) = waitpgid(self.id, WaitOptions::NOHANG | WaitOptions::UNTRACED).ok()??;
            if who != self.id {
                continue;
            }
            if let Some(signal) = status.stopping_signal().and_then(Signal::from_named_raw) {
                return Some(Change::Stopped(signal));
            }
            if let Some(signal) = status.terminating_signal() {
                return Some(Change::Exited(exit::signalled(signal)));
            }
            if let Some(code) = status.exit_status() {
                return Some(Change::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
            }
        }
    }
}

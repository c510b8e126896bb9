//! One step of one process: a system call of `lock-file`, or less. The page of the model says which.

mod assess;
mod forward;
mod publish;
mod release;
mod renew;

use super::guard::Guard;
use super::state::{At, NONE, Process, Rule, State};

/// What a process does where it can do several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The step that it stands at.
    GoOn,
    /// An acquire begins.
    Acquire,
    /// An operator takes the lock away.
    Break,
    /// The grant reaches the caller.
    Adopt,
    /// The grant comes too late or is lost on its way: the same owner asks again.
    AskAgain,
    /// The caller's supervisor renews.
    Renew,
    /// The caller, or its clean-up, releases.
    Release,
    /// The system call fails.
    Fail,
}

/// A process at work on a state, with one guard removed, or none.
pub(super) struct Stepper<'a> {
    pub(super) state: &'a mut State,
    pub(super) index: usize,
    pub(super) removed: Option<Guard>,
}

impl Process {
    /// The choices that it has.
    pub(super) fn choices(&self, removed: Option<Guard>, mut take: impl FnMut(Choice)) {
        match self.at {
            At::Idle => {
                take(Choice::Acquire);
                if self.own == NONE {
                    take(Choice::Break);
                }
            }
            At::Granted => {
                if self.is_in_time(removed) {
                    take(Choice::Adopt);
                } else {
                    take(Choice::Release);
                }
                take(Choice::AskAgain);
            }
            At::Have => {
                if self.belief > 0 {
                    take(Choice::Renew);
                }
                take(Choice::Release);
            }
            At::Sweep => {
                take(Choice::GoOn);
                take(Choice::Fail);
            }
            _ => take(Choice::GoOn),
        }
    }

    fn is_in_time(&self, removed: Option<Guard>) -> bool {
        self.sent > 0 || removed == Some(Guard::BeliefFromSending)
    }

    /// Nothing is left of the call under way.
    fn rest(&mut self) {
        let kept = Self { name: self.name, own: self.own, own_number: self.own_number, ..Self::new(0) };
        *self = Self { own_number: if kept.own == NONE { 0 } else { kept.own_number }, ..kept };
    }
}

impl Stepper<'_> {
    fn me(&mut self) -> &mut Process {
        &mut self.state.processes[self.index]
    }

    fn read(&self) -> Process {
        self.state.processes[self.index]
    }

    fn go(&mut self, at: At) {
        self.me().at = at;
    }

    fn lacks(&self, guard: Guard) -> bool {
        self.removed == Some(guard)
    }

    /// The process ends, and another begins in its place. The kernel lets go of its locks.
    pub(super) fn crash(&mut self) {
        let name = self.read().name;
        *self.me() = Process::new(name);
    }

    pub(super) fn take(&mut self, choice: Choice) {
        match (self.read().at, choice) {
            (At::Idle, Choice::Break) => {
                self.me().breaking = true;
                self.list();
            }
            (At::Idle, _) => self.begin(),
            (At::Granted, Choice::Adopt) => self.adopt(),
            (At::Granted, Choice::AskAgain) => self.begin_renewal(true),
            (At::Have, Choice::Renew) => self.begin_renewal(false),
            (At::Granted | At::Have, _) => self.begin_release(),
            (At::Sweep, Choice::Fail) => {
                self.me().swept = false;
                self.granted();
            }
            (At::ForwardWrite, _) => self.forward_write(),
            (At::ForwardPublish, _) => self.forward_publish(),
            (At::ForwardLook, _) => self.forward_look(),
            (At::List, _) => self.list(),
            (At::Open, _) => self.open(),
            (At::Clock, _) => self.clock(),
            (At::Read, _) => self.read_record(),
            (At::Probe, _) => self.probe(),
            (At::Unlock, _) => self.unlock(),
            (At::Reread, _) => self.reread(),
            (At::Prepare, _) => self.prepare(),
            (At::Publish, _) => self.publish(),
            (At::ListAgain, _) => self.list_again(),
            (At::LookAgain, _) => self.look_again(),
            (At::Sweep, _) => self.sweep(),
            (At::Free, _) => self.free(),
            (At::RenewWrite, _) => self.renew_write(),
            (At::RenewNext, _) => self.renew_next(),
            (At::RenewIsAt, _) => self.renew_is_at(),
            (At::RenewClock, _) => self.renew_clock(),
            (At::ReleaseIsAt, _) => self.release_is_at(),
            (At::ReleaseWrite, _) => self.release_write(),
        }
    }

    /// A number is confirmed.
    fn note_number(&mut self) {
        if self.state.file(self.read().own).reused {
            self.state.note(Rule::NumberOnce);
        }
    }

    fn remove(&mut self, number: u8) -> bool {
        let Some(there) = self.state.there(number) else { return false };
        self.state.file_mut(there).at = 0;
        true
    }

    /// `try_acquire` has its answer.
    fn granted(&mut self) {
        let me = self.me();
        (me.seen_number, me.older, me.time) = (0, 0, 0);
        self.go(At::Granted);
    }

    /// The file that is ours is dropped, and with it the kernel lock.
    fn let_go(&mut self) {
        let me = self.me();
        (me.own, me.own_number, me.swept, me.belief, me.broken) = (NONE, 0, false, 0, false);
    }

    /// The call has its answer, and there is nothing more to it.
    fn finish(&mut self) {
        self.me().rest();
    }
}

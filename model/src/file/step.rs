//! One step of one process: a system call of `lock-file`, or less. The page of the model says which.

use super::guard::Guard;
use super::state::{At, File, GONE, Mark, NONE, PAST, Process, Ref, Rule, State, TTL};

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

    // Acquiring.

    /// The supervisor reads the clock and calls.
    fn begin(&mut self) {
        self.me().sent = TTL;
        if self.read().own == NONE { self.list() } else { self.forward_is_at() }
    }

    /// `take_forward`: is our released record still in its place?
    fn forward_is_at(&mut self) {
        let me = self.read();
        if self.state.file(me.own).at == me.own_number {
            self.me().time = TTL;
            self.go(At::ForwardWrite);
        } else {
            self.let_go();
            self.go(At::List);
        }
    }

    fn forward_write(&mut self) {
        let me = self.read();
        let file = self.state.file_mut(me.own);
        file.mark = Mark::Held(me.time);
        file.token += 1;
        self.me().time = 0;
        self.go(At::ForwardPublish);
    }

    fn forward_publish(&mut self) {
        let me = self.read();
        let (from, to) = (me.own_number, me.own_number + 1);
        let taken = self.state.there(to).is_some() && !self.lacks(Guard::PublishDoesNotReplace);
        let Some(moved) = self.state.there(from).filter(|_| !taken) else {
            self.let_go();
            self.go(At::List);
            return;
        };
        self.place(moved, to);
        self.go(At::ForwardLook);
    }

    fn forward_look(&mut self) {
        let me = self.read();
        let to = me.own_number + 1;
        if self.state.file(me.own).at == to || self.lacks(Guard::LookAfterForward) {
            self.me().own_number = to;
            self.me().swept = true;
            self.note_number();
            self.granted();
            return;
        }
        if let (Some(others), None) = (self.state.there(to), self.state.there(me.own_number)) {
            self.state.file_mut(others).at = me.own_number;
        }
        self.let_go();
        self.go(At::List);
    }

    /// `Slot::generations`
    fn list(&mut self) {
        let top = self.state.top();
        let me = &mut self.state.processes[self.index];
        (me.seen, me.seen_number, me.older) = (NONE, 0, 0);
        let Some(top) = top else {
            if me.breaking {
                self.finish();
            } else {
                me.token = 0;
                self.go(At::Prepare);
            }
            return;
        };
        me.seen_number = self.state.files[usize::from(top)].at;
        let number = me.seen_number;
        let bits = |file: &File| if file.at > 0 && file.at < number { 1_u16 << file.at } else { 0 };
        let older = self.state.files().iter().map(bits).fold(0, |all, bit| all | bit);
        self.me().older = older;
        self.go(At::Open);
    }

    /// `os::open_record`
    fn open(&mut self) {
        match self.state.there(self.read().seen_number) {
            Some(file) => {
                self.me().seen = file;
                self.go(if self.lacks(Guard::ClockBeforeRecord) { At::Read } else { At::Clock });
            }
            None => self.go(At::List),
        }
    }

    /// `assess`: the clock.
    fn clock(&mut self) {
        if self.lacks(Guard::ClockBeforeRecord) {
            // By now `time` is the deadline that was read before.
            let expired = self.read().time <= 0;
            self.judged(false, expired);
        } else {
            self.me().time = 0;
            self.go(At::Read);
        }
    }

    /// `assess`: `read` and `judge`
    fn read_record(&mut self) {
        let me = self.read();
        let file = *self.state.file(me.seen);
        self.me().token = file.token;
        match file.mark {
            Mark::Released => self.judged(true, false),
            Mark::Held(left) if self.lacks(Guard::ClockBeforeRecord) => {
                self.me().time = left;
                self.go(At::Clock);
            }
            Mark::Held(left) => self.judged(false, me.time >= left),
        }
    }

    fn judged(&mut self, released: bool, expired: bool) {
        (self.me().time, self.me().expired) = (0, expired);
        match (released, self.read().breaking) {
            (true, true) => self.finish(),
            (true, false) => self.go(At::Prepare),
            (false, _) if self.lacks(Guard::KernelLockIsProbed) => self.nobody_let_go(),
            (false, _) => self.go(At::Probe),
        }
    }

    /// `os::nobody_locks`: the lock.
    fn probe(&mut self) {
        let me = self.read();
        let held = self.state.is_locked(me.seen);
        let probed = self.lacks(Guard::ProbeIsShared)
            && self.state.processes.iter().any(|other| other.at == At::Unlock && other.seen == me.seen);
        if held || probed {
            if !held && !me.expired {
                self.state.note(Rule::HeldByHolder);
            }
            self.nobody_let_go();
        } else {
            self.go(At::Unlock);
            // Nobody can see a shared lock.
            if !self.lacks(Guard::ProbeIsShared) {
                self.unlock();
            }
        }
    }

    /// The verdict is the record's: held, or expired.
    fn nobody_let_go(&mut self) {
        let me = self.read();
        let of_break = self.state.file(me.seen).of_break;
        match (me.breaking, me.expired) {
            (false, true) => {
                self.me().expired = false;
                self.go(At::Prepare);
            }
            (true, false) if !of_break => self.go(At::Prepare),
            (false, false) | (true, _) => self.finish(),
        }
    }

    /// `os::nobody_locks`: the unlock.
    fn unlock(&mut self) {
        if self.lacks(Guard::ReadAgainAfterProbe) {
            if self.state.file(self.read().seen).mark == Mark::Released {
                self.state.note(Rule::ReleaseIsNoCrash);
            }
            self.nobody_has_it();
            return;
        }
        self.go(At::Reread);
    }

    /// `assess`: the second reading.
    fn reread(&mut self) {
        let token = self.state.file(self.read().seen).token;
        self.me().token = token;
        self.nobody_has_it();
    }

    /// Released, or its holder is gone.
    fn nobody_has_it(&mut self) {
        self.me().expired = false;
        if self.read().breaking { self.finish() } else { self.go(At::Prepare) }
    }

    /// The deadline is read off the clock; the file is created, locked and written where nobody looks.
    fn prepare(&mut self) {
        let me = self.read();
        let step = u8::from(!me.breaking && !self.lacks(Guard::TokenAboveTheLast));
        let mark =
            if me.breaking && self.lacks(Guard::BreakIsHeldUntilLookedAt) { Mark::Released } else { Mark::Held(TTL) };
        let file = File { mark, token: me.token + step, of_break: me.breaking, ..File::NOTHING };
        let own = self.state.add(file);
        let me = self.me();
        (me.own, me.own_number, me.token, me.expired) = (own, 0, 0, false);
        self.go(At::Publish);
    }

    /// `os::publish`
    fn publish(&mut self) {
        let me = self.read();
        let number = me.seen_number + 1;
        if let Some(other) = self.state.there(number) {
            if !self.lacks(Guard::PublishDoesNotReplace) {
                self.let_go();
                self.go(At::List);
                return;
            }
            self.state.file_mut(other).at = 0;
        }
        self.place(me.own, number);
        self.me().own_number = number;
        self.go(At::ListAgain);
    }

    /// A file gets a number: what that means is noted.
    fn place(&mut self, file: Ref, number: u8) {
        let me = self.read();
        if self.lacks(Guard::PublishDoesNotReplace)
            && let Some(other) = self.state.there(number)
        {
            self.state.file_mut(other).at = 0;
        }
        let reused = number <= self.state.highest;
        self.state.file_mut(file).at = number;
        self.state.file_mut(file).reused = reused;
        if reused {
            return;
        }
        self.state.highest = number;
        if me.seen < GONE {
            self.state.file_mut(me.seen).succeeded = true;
            if me.breaking {
                if me.again {
                    self.state.note(Rule::BreakHitsOne);
                }
                self.me().again = true;
                for other in &mut self.state.processes {
                    if other.own == me.seen {
                        other.broken = true;
                    }
                }
            }
        }
    }

    /// `publish`: the listing afterwards.
    fn list_again(&mut self) {
        let me = self.read();
        let highest = self.state.top().map_or(0, |top| self.state.file(top).at) == me.own_number;
        if me.seen_number == 0 {
            if highest || self.lacks(Guard::ListAfterFirst) { self.first() } else { self.late() }
        } else if highest || self.lacks(Guard::ListAfterPublish) {
            self.go(At::LookAgain);
        } else {
            self.late();
        }
    }

    /// `publish`: is what was assessed still in its place?
    fn look_again(&mut self) {
        let me = self.read();
        let old = me.seen != GONE && self.state.file(me.seen).at == me.seen_number;
        if old || self.lacks(Guard::LookAfterPublish) { self.first() } else { self.late() }
    }

    /// `Published::First`
    fn first(&mut self) {
        self.note_number();
        let me = self.me();
        (me.seen, me.expired, me.swept) = (NONE, false, true);
        if me.breaking {
            self.go(At::Free);
        } else if me.seen_number == 0 {
            self.granted();
        } else {
            (me.older, me.seen_number) = (me.older | 1 << me.seen_number, 0);
            self.go(At::Sweep);
        }
    }

    /// A number is confirmed.
    fn note_number(&mut self) {
        if self.state.file(self.read().own).reused {
            self.state.note(Rule::NumberOnce);
        }
    }

    /// `Published::Late`
    fn late(&mut self) {
        let me = self.read();
        let over = self.state.file(me.own).mark <= Mark::Held(0);
        if self.lacks(Guard::LateIsLeft) {
            self.remove(me.own_number);
        }
        self.let_go();
        (self.me().seen, self.me().expired) = (NONE, false);
        if me.breaking && over && !self.lacks(Guard::BreakEndsWhenOver) { self.finish() } else { self.go(At::List) }
    }

    /// `acquire::sweep`: the next file that is there.
    fn sweep(&mut self) {
        loop {
            let left = self.read().older;
            let next = if self.lacks(Guard::SweepAscends) { left.checked_ilog2() } else { lowest(left) };
            let Some(number) = next else { break };
            self.me().older &= !(1 << number);
            let removed = self.remove(u8::try_from(number).unwrap_or(u8::MAX));
            if removed && self.read().older != 0 {
                return;
            }
        }
        self.granted();
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

    /// `Acquisition::adopt`
    fn adopt(&mut self) {
        let me = self.read();
        let token = self.state.file(me.own).token;
        if !me.broken {
            if token <= self.state.greatest {
                self.state.note(Rule::TokensRise);
            }
            self.state.greatest = self.state.greatest.max(token);
        }
        let belief = if self.lacks(Guard::BeliefFromSending) { TTL } else { me.sent };
        let me = self.me();
        (me.belief, me.sent, me.again) = (belief, 0, false);
        self.go(At::Have);
    }

    // A break.

    /// `break_once`: the record says that it is free, and then the kernel lock is.
    fn free(&mut self) {
        let own = self.read().own;
        self.state.file_mut(own).mark = Mark::Released;
        self.let_go();
        self.finish();
    }

    // Renewing and releasing.

    /// The supervisor reads the clock and calls; `HeldFile::renew` reads it as well.
    fn begin_renewal(&mut self, again: bool) {
        let too_late = self.state.file(self.read().own).succeeded;
        let me = self.me();
        (me.sent, me.time, me.again, me.too_late) = (TTL, TTL, again, too_late);
        self.go(At::RenewWrite);
    }

    fn renew_write(&mut self) {
        let me = self.read();
        let file = self.state.file_mut(me.own);
        let old = match file.mark {
            Mark::Held(left) => left,
            Mark::Released => PAST,
        };
        file.mark = Mark::Held(me.time);
        self.me().time = old;
        self.go(At::RenewNext);
    }

    fn renew_next(&mut self) {
        let me = self.read();
        if self.state.there(me.own_number + 1).is_some() && !self.lacks(Guard::RenewLooksForSuccessor) {
            self.lost();
        } else {
            self.go(At::RenewIsAt);
        }
    }

    fn renew_is_at(&mut self) {
        let me = self.read();
        if self.state.file(me.own).at != me.own_number && !self.lacks(Guard::RenewLooksForItself) {
            self.lost();
        } else {
            self.go(At::RenewClock);
        }
    }

    fn renew_clock(&mut self) {
        let me = self.read();
        if me.time <= 0 && !self.lacks(Guard::RenewBeforeOldDeadline) {
            self.lost();
            return;
        }
        if me.too_late || (self.state.file(me.own).succeeded && !me.broken) {
            self.state.note(Rule::NotRevived);
        }
        self.me().time = 0;
        self.me().too_late = false;
        if me.again {
            self.go(At::Granted);
            return;
        }
        // A reply that comes after the deadline changes nothing.
        if me.belief > 0 {
            self.me().belief = me.belief.max(me.sent);
        }
        self.me().sent = 0;
        self.go(At::Have);
    }

    /// A renewal says that it is lost.
    fn lost(&mut self) {
        let again = self.read().again;
        self.let_go();
        if again {
            let me = self.me();
            (me.again, me.time, me.too_late) = (false, 0, false);
            self.go(At::List);
        } else {
            self.finish();
        }
    }

    /// The belief ends first. `HeldFile::release` looks for a successor.
    fn begin_release(&mut self) {
        let me = self.read();
        let too_late = self.state.file(me.own).succeeded;
        let me = self.me();
        (me.belief, me.sent, me.time, me.again, me.too_late) = (0, 0, 0, false, too_late);
        if self.lacks(Guard::ReleaseLooks) {
            self.release_write();
        } else if self.state.there(self.read().own_number + 1).is_some() {
            self.let_go();
            self.finish();
        } else {
            self.go(At::ReleaseIsAt);
        }
    }

    fn release_is_at(&mut self) {
        let me = self.read();
        if self.state.file(me.own).at == me.own_number {
            self.go(At::ReleaseWrite);
        } else {
            self.let_go();
            self.finish();
        }
    }

    fn release_write(&mut self) {
        let me = self.read();
        if me.too_late {
            self.state.note(Rule::ReleasedOwn);
        }
        if self.lacks(Guard::ReleasedStays) {
            self.remove(me.own_number);
        }
        if self.lacks(Guard::ReleaseWritesItsOwn) {
            // By its name, as if a lock were one file for ever.
            if let Some(top) = self.state.top() {
                self.state.file_mut(top).mark = Mark::Released;
            }
        }
        self.state.file_mut(me.own).mark = Mark::Released;
        if !me.swept && !self.lacks(Guard::ForwardOnlyIfSwept) {
            self.let_go();
        }
        self.finish();
    }

    // Ends.

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

fn lowest(bits: u16) -> Option<u32> {
    (bits != 0).then(|| bits.trailing_zeros())
}

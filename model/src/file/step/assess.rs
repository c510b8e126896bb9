//! Looking at the highest generation: may it be succeeded?

use super::Stepper;
use crate::file::guard::Guard;
use crate::file::state::{At, File, Mark, NONE, Rule};

impl Stepper<'_> {
    /// `Slot::generations`
    pub(super) fn list(&mut self) {
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
    pub(super) fn open(&mut self) {
        match self.state.there(self.read().seen_number) {
            Some(file) => {
                self.me().seen = file;
                self.go(if self.lacks(Guard::ClockBeforeRecord) { At::Read } else { At::Clock });
            }
            None => self.go(At::List),
        }
    }

    /// `assess`: the clock.
    pub(super) fn clock(&mut self) {
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
    pub(super) fn read_record(&mut self) {
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

    pub(super) fn judged(&mut self, released: bool, expired: bool) {
        (self.me().time, self.me().expired) = (0, expired);
        match (released, self.read().breaking) {
            (true, true) => self.finish(),
            (true, false) => self.go(At::Prepare),
            (false, _) if self.lacks(Guard::KernelLockIsProbed) => self.nobody_let_go(),
            (false, _) => self.go(At::Probe),
        }
    }

    /// `os::nobody_locks`: the lock.
    pub(super) fn probe(&mut self) {
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
    pub(super) fn nobody_let_go(&mut self) {
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
    pub(super) fn unlock(&mut self) {
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
    pub(super) fn reread(&mut self) {
        let token = self.state.file(self.read().seen).token;
        self.me().token = token;
        self.nobody_has_it();
    }

    /// Released, or its holder is gone.
    pub(super) fn nobody_has_it(&mut self) {
        self.me().expired = false;
        if self.read().breaking { self.finish() } else { self.go(At::Prepare) }
    }
}

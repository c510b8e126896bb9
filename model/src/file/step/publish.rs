//! Publishing a successor, and what follows: is it the first, and what was before it goes.

use super::Stepper;
use crate::file::guard::Guard;
use crate::file::state::{At, File, GONE, Mark, NONE, Ref, Rule, TTL};

impl Stepper<'_> {
    /// The deadline is read off the clock; the file is created, locked and written where nobody looks.
    pub(super) fn prepare(&mut self) {
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
    pub(super) fn publish(&mut self) {
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
    pub(super) fn place(&mut self, file: Ref, number: u8) {
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
    pub(super) fn list_again(&mut self) {
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
    pub(super) fn look_again(&mut self) {
        let me = self.read();
        let old = me.seen != GONE && self.state.file(me.seen).at == me.seen_number;
        if old || self.lacks(Guard::LookAfterPublish) { self.first() } else { self.late() }
    }

    /// `Published::First`
    pub(super) fn first(&mut self) {
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

    /// `Published::Late`
    pub(super) fn late(&mut self) {
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
    pub(super) fn sweep(&mut self) {
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

    /// `break_once`: the record says that it is free, and then the kernel lock is.
    pub(super) fn free(&mut self) {
        let own = self.read().own;
        self.state.file_mut(own).mark = Mark::Released;
        self.let_go();
        self.finish();
    }
}

fn lowest(bits: u16) -> Option<u32> {
    (bits != 0).then(|| bits.trailing_zeros())
}

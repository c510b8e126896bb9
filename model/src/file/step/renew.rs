//! Believing and renewing.

use super::Stepper;
use crate::file::guard::Guard;
use crate::file::state::{At, Mark, PAST, Rule, TTL};

impl Stepper<'_> {
    /// `Acquisition::adopt`
    pub(super) fn adopt(&mut self) {
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

    /// The supervisor reads the clock and calls; `HeldFile::renew` reads it as well.
    pub(super) fn begin_renewal(&mut self, again: bool) {
        let too_late = self.state.file(self.read().own).succeeded;
        let me = self.me();
        (me.sent, me.time, me.again, me.too_late) = (TTL, TTL, again, too_late);
        self.go(At::RenewWrite);
    }

    pub(super) fn renew_write(&mut self) {
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

    pub(super) fn renew_next(&mut self) {
        let me = self.read();
        if self.state.there(me.own_number + 1).is_some() && !self.lacks(Guard::RenewLooksForSuccessor) {
            self.lost();
        } else {
            self.go(At::RenewIsAt);
        }
    }

    pub(super) fn renew_is_at(&mut self) {
        let me = self.read();
        if self.state.file(me.own).at != me.own_number && !self.lacks(Guard::RenewLooksForItself) {
            self.lost();
        } else {
            self.go(At::RenewClock);
        }
    }

    pub(super) fn renew_clock(&mut self) {
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
    pub(super) fn lost(&mut self) {
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
}

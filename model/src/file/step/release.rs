//! Releasing.

use super::Stepper;
use crate::file::guard::Guard;
use crate::file::state::{At, Mark, Rule};

impl Stepper<'_> {
    /// The belief ends first. `HeldFile::release` looks for a successor.
    pub(super) fn begin_release(&mut self) {
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

    pub(super) fn release_is_at(&mut self) {
        let me = self.read();
        if self.state.file(me.own).at == me.own_number {
            self.go(At::ReleaseWrite);
        } else {
            self.let_go();
            self.finish();
        }
    }

    pub(super) fn release_write(&mut self) {
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
}

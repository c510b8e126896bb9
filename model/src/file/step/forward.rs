//! Acquiring begins: the process that released last may rewrite its own record and rename it forward.

use super::Stepper;
use crate::file::guard::Guard;
use crate::file::state::{At, Mark, NONE, TTL};

impl Stepper<'_> {
    /// The supervisor reads the clock and calls.
    pub(super) fn begin(&mut self) {
        self.me().sent = TTL;
        if self.read().own == NONE { self.list() } else { self.forward_is_at() }
    }

    /// `take_forward`: is our released record still in its place?
    pub(super) fn forward_is_at(&mut self) {
        let me = self.read();
        if self.state.file(me.own).at == me.own_number {
            self.me().time = TTL;
            self.go(At::ForwardWrite);
        } else {
            self.let_go();
            self.go(At::List);
        }
    }

    pub(super) fn forward_write(&mut self) {
        let me = self.read();
        let file = self.state.file_mut(me.own);
        file.mark = Mark::Held(me.time);
        file.token += 1;
        self.me().time = 0;
        self.go(At::ForwardPublish);
    }

    pub(super) fn forward_publish(&mut self) {
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

    pub(super) fn forward_look(&mut self) {
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
}

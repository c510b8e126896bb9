//! Belief: from when to when a client rightly took a lock for its own.

use super::event::Nanos;
use super::history::{Grant, Op};

/// When an administrator took a grant away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    pub(super) before: Nanos,
    pub(super) after: Nanos,
}

/// One grant with its key's story around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belief<'a> {
    pub(super) op: &'a Op,
    pub(super) grant: &'a Grant,
    pub(super) process: &'a super::history::Process,
    /// The administrative act that took it away.
    pub(super) hit: Option<Hit>,
}

impl Belief<'_> {
    /// A moment until which the lock was rightly believed in, at least.
    ///
    /// The lease's promise reaches to its deadline, whatever its holder sees of it: a holder that is
    /// stopped keeps its lock until then. Three things end it sooner: its holder lets go, its
    /// process ends, an administrator acts. A loss that the guard told before the deadline is no
    /// such thing, it is a fault (see `check::losses`); here belief then counts as long as the
    /// guard said yes.
    pub(super) fn end(&self) -> Nanos {
        let promise = if self.premature_loss() { self.grant.last_held } else { self.grant.deadline };
        let ends = [self.grant.let_go, self.process.gone, self.hit.map(|hit| hit.before)];
        ends.into_iter().flatten().fold(promise, Nanos::min)
    }

    /// Whether the guard told of a loss before the deadline that it had named, without a cause.
    pub(super) fn premature_loss(&self) -> bool {
        self.grant.lost.as_ref().is_some_and(|(at, _)| *at < self.grant.deadline && !self.excused(*at))
    }

    /// Whether an administrator's act explains what was seen at this time.
    pub(super) fn excused(&self, at: Nanos) -> bool {
        self.hit.is_some_and(|hit| at >= hit.before)
    }
}

//! Belief: from when to when a client rightly took a lock for its own.

use super::event::{Deed, Nanos};
use super::history::{Grant, History, Op};

/// How an administrator's act bears on a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) before: Nanos,
    pub(super) after: Nanos,
    /// The grant was there when the act began; else it may have come in the midst of it.
    pub(super) for_certain: bool,
}

/// One grant with its key's story around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belief<'a> {
    pub(super) op: &'a Op,
    pub(super) grant: &'a Grant,
    pub(super) process: &'a super::history::Process,
    /// The first administrative act that may have ended it.
    pub(super) hit: Option<Hit>,
}

/// The beliefs of all grants of a key, by their beginnings.
pub(super) fn of_key<'a>(history: &'a History, key: &str) -> Vec<Belief<'a>> {
    let hits = Acts::on(history, key);
    let mut beliefs: Vec<_> = (history.ops.iter().filter(|op| op.key == key))
        .filter_map(|op| {
            let grant = op.grant.as_ref()?;
            Some(Belief { op, grant, process: &history.processes[op.process], hit: hits.first_hit(op, grant) })
        })
        .collect();
    beliefs.sort_by_key(|belief| belief.grant.returned);
    beliefs
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

/// The administrative acts on one key.
struct Acts {
    /// Tokens broken, sorted.
    broken: Vec<(u64, Nanos, Nanos)>,
    /// Times of removals, in their order.
    removals: Vec<(Nanos, Nanos)>,
}

impl Acts {
    fn on(history: &History, wanted: &str) -> Self {
        let (mut broken, mut removals) = (Vec::new(), Vec::new());
        for act in &history.acts {
            match &act.deed {
                Deed::Broke { key, token } if key == wanted => broken.push((*token, act.before, act.after)),
                Deed::Removed { key } if key == wanted => removals.push((act.before, act.after)),
                _ => {}
            }
        }
        broken.sort_unstable();
        Self { broken, removals }
    }

    fn first_hit(&self, op: &Op, grant: &Grant) -> Option<Hit> {
        let at = self.broken.partition_point(|(token, ..)| *token < grant.token);
        let broken = self.broken.get(at).filter(|(token, ..)| *token == grant.token);
        let broken = broken.map(|(_, before, after)| Hit { before: *before, after: *after, for_certain: true });
        let at = self.removals.partition_point(|(_, after)| *after < op.invoked);
        let removed = self.removals.get(at).map(|(before, after)| {
            let for_certain = grant.returned < *before;
            Hit { before: *before, after: *after, for_certain }
        });
        [broken, removed].into_iter().flatten().min_by_key(|hit| hit.before)
    }
}

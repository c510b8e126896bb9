//! Belief: from when to when a client rightly took a lock for its own.

use std::collections::BTreeMap;

use super::event::{Deed, Nanos};
use super::history::{Grant, History, Op};

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

/// The beliefs of all grants of a key, by their beginnings.
pub(super) fn of_key<'a>(history: &'a History, key: &str) -> Vec<Belief<'a>> {
    let hits = hits(history, key);
    let mut beliefs: Vec<_> = (history.ops.iter().filter(|op| op.key == key))
        .filter_map(|op| {
            let grant = op.grant.as_ref()?;
            Some(Belief { op, grant, process: &history.processes[op.process], hit: hits.get(&grant.token).copied() })
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

/// What administrators took away from one key, by token. They know whom they hit, so that
/// nobody else is excused.
fn hits(history: &History, wanted: &str) -> BTreeMap<u64, Hit> {
    let mut hits = BTreeMap::new();
    for act in &history.acts {
        let tokens = match &act.deed {
            Deed::Broke { key, token } if key == wanted => std::slice::from_ref(token),
            Deed::Removed { key, tokens } if key == wanted => tokens,
            _ => continue,
        };
        for token in tokens {
            hits.entry(*token).or_insert(Hit { before: act.before, after: act.after });
        }
    }
    hits
}

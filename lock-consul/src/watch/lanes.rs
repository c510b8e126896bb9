//! Which lane watches which key.

use std::collections::HashMap;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Seen;
use crate::wire::Entry;

/// Blocking queries at once, each a connection.
pub(crate) const LANES: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) all: [Lane; LANES],
    pub(super) next: u64,
    /// Until when a query that was given up may go on at the agent.
    pub(super) lingers: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) members: HashMap<u64, Member>,
    /// The query under way, or the last one.
    pub(super) query: Query,
    /// What the query is newer than: the keys below its prefix, each with its index.
    pub(super) known: HashMap<String, u64>,
    /// The number of the task that asks.
    pub(super) task: Option<u64>,
    pub(super) pauses: bool,
    /// Until when its query stays as wide as it was.
    pub(super) wide_until: Option<Instant>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Query {
    pub(super) prefix: String,
    /// Grows with each query.
    pub(super) number: u64,
    /// What it is newer than; 0: answered at once.
    pub(super) index: u64,
}

pub(super) struct Member {
    pub(super) seen: Seen,
    /// The query that was the lane's last when this came.
    pub(super) since: u64,
    pub(super) tell: oneshot::Sender<Option<Entry>>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.seen.fmt(f)
    }
}

impl Seen {
    /// Whether the key has changed since, when `now` is its index (`None`: it is not there) in an answer of the index
    /// `answer`, which may be older.
    pub(super) fn is_older_than(&self, now: Option<u64>, answer: u64) -> bool {
        match now {
            Some(now) => now > self.index,
            None => answer >= self.index,
        }
    }
}

impl Lane {
    /// Whether the key has changed in a way that the query under way won't tell: it came with an earlier answer, when
    /// nobody here watched the key.
    pub(super) fn has_passed(&self, seen: &Seen) -> bool {
        let covers = self.query.index != 0 && seen.key.starts_with(&self.query.prefix);
        covers && seen.is_older_than(self.known.get(&seen.key).copied(), self.query.index)
    }

    /// Its task ends. The next begins anew.
    pub(super) fn end(&mut self) {
        self.task = None;
        self.query.index = 0;
        self.wide_until = None;
        self.known.clear();
    }
}

impl Lanes {
    /// A lane that watches nothing and whose query is still held and covers the key; one without a query; one whose
    /// query covers the key among others; one that watches nothing and whose query must be given up; else the one whose
    /// keys have most in common with this one.
    pub(super) fn best_for(&self, key: &str) -> usize {
        let fit = |lane: &Lane| {
            let asks = lane.task.is_some();
            let free = match (lane.members.is_empty(), asks && key.starts_with(&lane.query.prefix)) {
                (true, true) => 4,
                (true, false) if !asks => 3,
                (false, true) => 2,
                (true, false) => 1,
                (false, false) => 0,
            };
            let shared = |member: &Member| common(&member.seen.key, key).len();
            (free, lane.members.values().map(shared).min(), usize::MAX - lane.members.len())
        };
        (0..LANES).max_by_key(|index| fit(&self.all[*index])).unwrap_or(0)
    }
}

/// The longest common beginning of two keys. They are ASCII but for the namespace's prefix.
pub(super) fn common<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let end = (0..=same).rev().find(|end| a.is_char_boundary(*end)).unwrap_or(0);
    &a[..end]
}

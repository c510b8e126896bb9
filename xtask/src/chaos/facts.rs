//! A history put in order: what is asked again and again is found by its key, or by a binary search.

use std::collections::HashMap;

use super::belief::{Belief, Hit};
use super::event::{Deed, Nanos};
use super::history::{History, Op, Trespass};
use super::span::{Span, merged};

/// A history, gone through once.
pub(super) struct Facts<'a> {
    pub(super) history: &'a History,
    /// From when on nothing failed any more.
    pub(super) quiet: Option<Nanos>,
    /// When each process could not have been granted a lock: stopped, or in trouble.
    pub(super) absences: Vec<Vec<Span>>,
    /// When some lock was removed.
    pub(super) removals: Vec<Span>,
    by_key: HashMap<&'a str, OfKey<'a>>,
    /// When an administrator was told that the holder with this token isn't there.
    spared: HashMap<(&'a str, u64), Vec<Nanos>>,
    nothing: OfKey<'a>,
}

/// What is known of one lock. All spans are in order, and no two touch.
#[derive(Default)]
pub(super) struct OfKey<'a> {
    pub(super) ops: Vec<&'a Op>,
    /// By their beginnings.
    pub(super) beliefs: Vec<Belief<'a>>,
    pub(super) removals: Vec<Span>,
    pub(super) trespasses: Vec<&'a Trespass>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut by_key: HashMap<&str, OfKey<'_>> = HashMap::new();
        let (mut hits, mut spared) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        let (mut quiet, mut removals) = (None, Vec::new());
        for act in &history.acts {
            let (before, after) = (act.before, act.after);
            match &act.deed {
                // They know whom they hit, so that nobody else is excused.
                Deed::Broke { key, token } => drop(hits.entry((&**key, *token)).or_insert(Hit { before, after })),
                Deed::Removed { key, tokens } => {
                    for token in tokens {
                        hits.entry((key, *token)).or_insert(Hit { before, after });
                    }
                    by_key.entry(key).or_default().removals.push((before, after));
                    removals.push((before, after));
                }
                Deed::Spared { key, token } => spared.entry((&**key, *token)).or_default().push(after),
                Deed::Quiet => quiet = Some(after),
                _ => {}
            }
        }
        for op in &history.ops {
            let of_key = by_key.entry(&op.key).or_default();
            of_key.ops.push(op);
            of_key.beliefs.extend(op.grant.as_ref().map(|grant| {
                let hit = hits.get(&(&*op.key, grant.token)).copied();
                Belief { op, grant, process: &history.processes[op.process], hit }
            }));
        }
        for trespass in &history.trespasses {
            by_key.entry(&trespass.key).or_default().trespasses.push(trespass);
        }
        for of_key in by_key.values_mut() {
            of_key.beliefs.sort_by_key(|belief| belief.grant.returned);
            of_key.removals = merged(std::mem::take(&mut of_key.removals));
        }
        let absences = history.processes.iter().map(|process| {
            let both = process.stops.iter().chain(&process.troubles);
            merged(both.copied().collect())
        });
        let (absences, removals) = (absences.collect(), merged(removals));
        Self { history, quiet, absences, removals, by_key, spared, nothing: OfKey::default() }
    }

    pub(super) fn of_key(&self, key: &str) -> &OfKey<'a> {
        self.by_key.get(key).unwrap_or(&self.nothing)
    }

    /// When somebody wanted to take this grant away, and was told that it isn't there.
    pub(super) fn spared(&self, key: &'a str, token: u64) -> &[Nanos] {
        self.spared.get(&(key, token)).map_or(&[], Vec::as_slice)
    }
}

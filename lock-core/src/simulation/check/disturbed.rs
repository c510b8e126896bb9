//! What kept a client from its store, or from running.

use super::holding::Story;
use crate::simulation::clock::Nanos;
use crate::simulation::history::Disturbance;

/// What keeps a process from running.
const STILLS: [Disturbance; 3] = [Disturbance::Paused, Disturbance::Stalled, Disturbance::Suspended];
/// Timers are good to a millisecond, and a task is woken after others.
pub(super) const PROMPT: Nanos = 4_000_000;

impl Story {
    /// Whether something kept this client from the store, or from running, between these.
    pub(super) fn was_disturbed(&self, client: usize, from: Nanos, to: Nanos) -> bool {
        self.disturbances(client, from, to).next().is_some()
    }

    /// Whether the client didn't run all the time between these.
    pub(super) fn stood_still(&self, client: usize, from: Nanos, to: Nanos) -> bool {
        self.disturbances(client, from, to).any(|(what, _)| STILLS.contains(&what))
    }

    /// When the client may have heard of what it tells at this time: it may have been stopped in between.
    pub(super) fn heard(&self, client: usize, at: Nanos) -> Nanos {
        let stills = self.disturbances(client, at.saturating_sub(PROMPT), at).filter(|(what, _)| STILLS.contains(what));
        stills.map(|(_, began)| began).fold(at, Nanos::min)
    }

    /// What it was, and since when.
    pub(super) fn disturbances(
        &self,
        client: usize,
        from: Nanos,
        to: Nanos,
    ) -> impl Iterator<Item = (Disturbance, Nanos)> {
        let disturbed = self.disturbed.iter();
        disturbed
            .filter(move |(whose, _, began, ended)| {
                whose.is_none_or(|whose| whose == client) && *began <= to && *ended >= from
            })
            .map(|(_, what, began, _)| (*what, *began))
    }
}

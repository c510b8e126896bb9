//! What kept a client from its store, or from running.

use std::collections::HashMap;

use super::holding::Story;
use super::spans::Spans;
use crate::simulation::clock::Nanos;
use crate::simulation::history::Disturbance;

/// Timers are good to a millisecond, and a task is woken after others.
pub(super) const PROMPT: Nanos = 4_000_000;

/// Timers stand still in a suspend, and sleep for half a second at most: so late a loss may be told after a resume, if the
/// host's clock is slow as well.
const AFTER_A_RESUME: Nanos = 520_000_000;

/// One thing that kept which client (`None`: all) from the store or from running: from when, until when.
pub(super) type Disturbed = (Option<usize>, Disturbance, Nanos, Nanos);

/// All of them, in order.
#[derive(Debug, Default)]
pub(super) struct Disturbances {
    of_everybody: Spans,
    of_one: HashMap<usize, OfOne>,
}

#[derive(Debug, Default)]
struct OfOne {
    any: Spans,
    /// When it didn't run.
    stills: Spans,
    /// When it was stopped in the midst of a step.
    stalls: Spans,
    /// When it didn't run, or had begun to again for so short a time that not all its timers have fired.
    unready: Spans,
}

impl Disturbances {
    pub(super) fn of(disturbed: &[Disturbed]) -> Self {
        let mut by_client: HashMap<Option<usize>, Vec<Disturbed>> = HashMap::new();
        for one in disturbed {
            by_client.entry(one.0).or_default().push(*one);
        }
        let of_everybody = by_client.remove(&None).unwrap_or_default();
        let of_everybody = Spans::of(of_everybody.into_iter().map(|(.., from, to)| (from, to)).collect());
        let of_one = by_client.into_iter().filter_map(|(client, of_one)| Some((client?, OfOne::of(&of_one))));
        Self { of_everybody, of_one: of_one.collect() }
    }
}

impl OfOne {
    fn of(disturbed: &[Disturbed]) -> Self {
        let among = |kinds: &[Disturbance]| {
            let among = disturbed.iter().filter(|(_, what, ..)| kinds.contains(what));
            Spans::of(among.map(|(.., from, to)| (*from, *to)).collect())
        };
        let unready = disturbed.iter().filter_map(|(_, what, from, to)| Some((*from, to + aftermath(*what)?)));
        Self {
            any: Spans::of(disturbed.iter().map(|(.., from, to)| (*from, *to)).collect()),
            stills: among(&[Disturbance::Paused, Disturbance::Stalled, Disturbance::Suspended]),
            stalls: among(&[Disturbance::Stalled]),
            unready: Spans::of(unready.collect()).merged(),
        }
    }
}

/// How long after its end a client may be late in what it tells. `None`: it ran all the time.
fn aftermath(what: Disturbance) -> Option<Nanos> {
    match what {
        Disturbance::Message | Disturbance::CutOff => None,
        Disturbance::Paused | Disturbance::Stalled => Some(PROMPT),
        Disturbance::Suspended => Some(AFTER_A_RESUME),
    }
}

impl Story {
    /// Whether something kept this client from the store, or from running, between these.
    pub(super) fn was_disturbed(&self, client: usize, from: Nanos, to: Nanos) -> bool {
        self.disturbed.of_everybody.touching(from, to).is_some()
            || self.touched(client, from, to, |of| &of.any).is_some()
    }

    /// Whether the client didn't run all the time between these.
    pub(super) fn stood_still(&self, client: usize, from: Nanos, to: Nanos) -> bool {
        self.touched(client, from, to, |of| &of.stills).is_some()
    }

    /// Whether the client was stopped in the midst of a step between these.
    pub(super) fn was_stalled(&self, client: usize, from: Nanos, to: Nanos) -> bool {
        self.touched(client, from, to, |of| &of.stalls).is_some()
    }

    /// When the client may have heard of what it tells at this time: it may have been stopped in between.
    pub(super) fn heard(&self, client: usize, at: Nanos) -> Nanos {
        self.touched(client, at.saturating_sub(PROMPT), at, |of| &of.stills).map_or(at, |began| began.min(at))
    }

    /// By when the client tells what it could tell at this time: at once, or soon after it runs again.
    pub(super) fn told_by(&self, client: usize, at: Nanos) -> Nanos {
        let prompt = at + PROMPT;
        self.disturbed.of_one.get(&client).map_or(prompt, |of| of.unready.reach(prompt).max(prompt))
    }

    fn touched(&self, client: usize, from: Nanos, to: Nanos, which: impl FnOnce(&OfOne) -> &Spans) -> Option<Nanos> {
        which(self.disturbed.of_one.get(&client)?).touching(from, to)
    }
}

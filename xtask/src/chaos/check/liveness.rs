//! (f) Whoever waits for a lock that nobody holds gets it: after a release, a loss or a death.

use super::{Invariant, Patience, Violation, ms};
use crate::chaos::belief::{self, Belief};
use crate::chaos::event::Nanos;
use crate::chaos::history::{History, merged};

/// From when to when.
type Span = (Nanos, Nanos);

/// `patience`: how long a client that runs may wait for a lock in which nobody believes. A TTL is a
/// part of it, since a client may be stopped between its grant at the store and its knowing of it.
pub(super) fn check(history: &History, key: &str, beliefs: &[Belief], patience: Patience) -> Vec<Violation> {
    let mut free = gaps(beliefs);
    if patience.waiters_may_hold {
        free = split(free, &disappearances(history, key));
    }
    let patience = patience.nanos;
    let starved = waits(history, key).into_iter().filter_map(|(span, process)| {
        let (from, to) = longest_common(&[span], &free).filter(|(from, to)| to - from > patience)?;
        let shown_by = format!(
            "{} waited for {key} from {} to {}, and nobody held it from {} to {}",
            history.processes[process].name,
            ms(history, span.0),
            ms(history, span.1),
            ms(history, from),
            ms(history, to),
        );
        Some(Violation { invariant: Invariant::Liveness, shown_by })
    });
    starved.collect()
}

/// The longest time for which somebody waited for a lock that nobody held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::chaos) struct Unavailability {
    pub(in crate::chaos) from: Nanos,
    pub(in crate::chaos) to: Nanos,
}

/// The longest unavailability of a key.
pub(in crate::chaos) fn unavailability(history: &History, key: &str) -> Option<Unavailability> {
    let waits: Vec<Span> = waits(history, key).into_iter().map(|(span, _)| span).collect();
    let free = gaps(&belief::of_key(history, key));
    longest_common(&merged(waits), &free).map(|(from, to)| Unavailability { from, to })
}

/// After each kill of a holder for whose lock somebody waited: how long until the next grant.
pub(in crate::chaos) fn takeovers(history: &History, key: &str) -> Vec<Nanos> {
    let beliefs = belief::of_key(history, key);
    let waits = waits(history, key);
    let killed = beliefs.iter().filter_map(|belief| belief.process.killed.filter(|killed| belief.end() == *killed));
    let took = killed.filter_map(|killed| {
        let next = beliefs.get(beliefs.partition_point(|belief| belief.grant.returned <= killed))?.grant.returned;
        let waiting = waits.iter().filter(|((from, to), _)| *from < next && *to > killed);
        let since = waiting.map(|((from, _), _)| killed.max(*from)).min()?;
        Some(next - since)
    });
    took.collect()
}

/// When somebody who waited for a key died, stopped or was cut off. In order.
///
/// Its place in a queue at the store lives for a TTL from then, and if its turn comes, that is a lock held by nobody
/// who knows it. The patience of those behind begins anew.
fn disappearances(history: &History, key: &str) -> Vec<Nanos> {
    let mut times = Vec::new();
    for op in history.ops.iter().filter(|op| op.waits && op.key == key) {
        let process = &history.processes[op.process];
        let over = op.over.unwrap_or(Nanos::MAX);
        let ends = process.absences().into_iter().map(|absence| absence.0).chain(process.gone);
        times.extend(ends.filter(|end| (op.invoked..=over).contains(end)));
    }
    times.sort_unstable();
    times
}

/// The spans, cut in two wherever a time falls into one.
fn split(spans: Vec<Span>, at: &[Nanos]) -> Vec<Span> {
    let mut pieces = Vec::new();
    for (mut from, to) in spans {
        let first = at.partition_point(|time| *time <= from);
        for time in at[first..].iter().take_while(|time| **time < to) {
            pieces.push((from, *time));
            from = *time;
        }
        pieces.push((from, to));
    }
    pieces
}

/// When who waited for a key and was running, by their beginnings.
fn waits(history: &History, key: &str) -> Vec<(Span, usize)> {
    let mut spans = Vec::new();
    for op in history.ops.iter().filter(|op| op.waits && op.key == key) {
        let process = &history.processes[op.process];
        let Some(end) = [op.over, process.gone].into_iter().flatten().min() else { continue };
        let mut from = op.invoked;
        for (gone, back) in process.absences().into_iter().filter(|gone| gone.1 > op.invoked && gone.0 < end) {
            spans.push(((from, gone.max(from)), op.process));
            from = back;
        }
        spans.push(((from, end), op.process));
    }
    spans.retain(|((from, to), _)| from < to);
    spans.sort_unstable();
    spans
}

/// When nobody believed in the lock, in order.
fn gaps(beliefs: &[Belief]) -> Vec<Span> {
    let mut gaps = Vec::new();
    let mut from = 0;
    for belief in beliefs {
        if belief.grant.returned > from {
            gaps.push((from, belief.grant.returned));
        }
        from = from.max(belief.end());
    }
    gaps.push((from, Nanos::MAX));
    gaps
}

/// The longest span that lies within one span of each. Both are in order and don't overlap themselves.
fn longest_common(some: &[Span], others: &[Span]) -> Option<Span> {
    let mut longest: Option<Span> = None;
    for (from, to) in some {
        let first = others.partition_point(|other| other.1 <= *from);
        for other in others[first..].iter().take_while(|other| other.0 < *to) {
            let common = (other.0.max(*from), other.1.min(*to));
            if longest.is_none_or(|longest| common.1 - common.0 > longest.1 - longest.0) {
                longest = Some(common);
            }
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::super::story::{PATIENCE, Story, found};
    use super::super::violations;
    use super::*;

    #[test]
    fn one_who_waits_too_long_for_a_lock_that_nobody_holds_is_found() {
        for (over, expected) in [(110 + PATIENCE, vec![]), (111 + PATIENCE, vec![Invariant::Liveness])] {
            let mut story = Story::new();
            story.grant(0, 10, 1).renewed(1_000).killed(110);
            story.waited(20, over);
            assert_eq!(found(&story), expected);
        }
    }

    #[test]
    fn where_waiters_may_hold_the_patience_begins_anew_when_one_dies() {
        for (waiters_may_hold, expected) in [(true, vec![]), (false, vec![Invariant::Liveness])] {
            let mut story = Story::new();
            story.waited(0, PATIENCE + 500);
            story.waited(10, PATIENCE + 400).killed(600);
            let found = violations(&story.history(), Patience { nanos: PATIENCE, waiters_may_hold });
            assert_eq!(found.into_iter().map(|found| found.invariant).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn one_who_is_stopped_does_not_wait() {
        let mut story = Story::new();
        story.waited(0, 2 * PATIENCE).stopped(PATIENCE - 10, PATIENCE + 10);
        assert_eq!(found(&story), []);
    }

    #[test]
    fn one_in_trouble_does_not_wait_and_trouble_may_overlap_a_stop() {
        let mut story = Story::new();
        let told = story.waited(0, 2 * PATIENCE);
        told.troubled(PATIENCE - 20, PATIENCE + 5).stopped(PATIENCE - 10, PATIENCE + 10);
        assert_eq!(found(&story), []);
        let mut story = Story::new();
        story.waited(0, 2 * PATIENCE).troubled(PATIENCE + 10, PATIENCE + 20);
        assert_eq!(found(&story), [Invariant::Liveness]);
    }

    #[test]
    fn a_lock_that_is_held_may_be_waited_for() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(4 * PATIENCE).let_go(3 * PATIENCE);
        story.waited(20, 3 * PATIENCE);
        assert_eq!(found(&story), []);
    }

    #[test]
    fn takeovers_and_unavailability_are_counted_from_when_somebody_waits() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(1_000).killed(110);
        story.grant(150, 170, 2).renewed(1_000).killed(200);
        story.grant(180, 230, 3).let_go(300);
        let history = story.history();
        assert_eq!(takeovers(&history, "k"), [20, 30]);
        assert_eq!(unavailability(&history, "k"), Some(Unavailability { from: 200, to: 230 }));
    }
}

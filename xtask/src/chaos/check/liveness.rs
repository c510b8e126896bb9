//! (f) Whoever waits for a lock that nobody holds gets it: after a release, a loss or a death.

use super::{Invariant, Patience, Violation, ms};
use crate::chaos::belief::Belief;
use crate::chaos::event::Nanos;
use crate::chaos::facts::Facts;
use crate::chaos::span::{Span, first_from, longest_common, merged, split, touching};

/// `patience`: how long a client that runs may wait for a lock in which nobody believes. A TTL is a
/// part of it, since a client may be stopped between its grant at the store and its knowing of it.
pub(super) fn check(facts: &Facts, key: &str, patience: Patience) -> Vec<Violation> {
    let mut free = gaps(&facts.of_key(key).beliefs);
    if patience.waiters_may_hold {
        free = split(free, &disappearances(facts, key));
    }
    let patience = patience.nanos;
    // Of what is left each is so long that there are few.
    free.retain(|(from, to)| to - from > patience);
    let starved = waits(facts, key).into_iter().filter_map(|(span, process)| {
        let (from, to) = longest_common(&[span], &free).filter(|(from, to)| to - from > patience)?;
        let shown_by = format!(
            "{} waited for {key} from {} to {}, and nobody held it from {} to {}",
            facts.history.processes[process].name,
            ms(facts, span.0),
            ms(facts, span.1),
            ms(facts, from),
            ms(facts, to),
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
pub(in crate::chaos) fn unavailability(facts: &Facts, key: &str) -> Option<Unavailability> {
    let free = gaps(&facts.of_key(key).beliefs);
    longest_common(&waited_for(facts, key), &free).map(|(from, to)| Unavailability { from, to })
}

/// After each kill of a holder for whose lock somebody waited: how long until the next grant.
pub(in crate::chaos) fn takeovers(facts: &Facts, key: &str) -> Vec<Nanos> {
    let beliefs = &facts.of_key(key).beliefs;
    let waited_for = waited_for(facts, key);
    let killed = beliefs.iter().filter_map(|belief| belief.process.killed.filter(|killed| belief.end() == *killed));
    let took = killed.filter_map(|killed| {
        let next = beliefs.get(beliefs.partition_point(|belief| belief.grant.returned <= killed))?.grant.returned;
        let (from, _) = waited_for.get(first_from(&waited_for, killed + 1)).filter(|(from, _)| *from < next)?;
        Some(next - killed.max(*from))
    });
    took.collect()
}

/// When somebody who waited for a key died, stopped or was cut off, and when the quiet began. In order.
///
/// Its place in a queue at the store lives for a TTL from then, and if its turn comes, that is a lock held by nobody
/// who knows it. So the patience of those behind begins anew; who is behind, only the store knows. In the quiet at the
/// end of a run it doesn't: nobody has a reason to disappear there, and who has disappeared before has had his TTL.
fn disappearances(facts: &Facts, key: &str) -> Vec<Nanos> {
    let mut times: Vec<Nanos> = facts.quiet.into_iter().collect();
    for op in facts.of_key(key).ops.iter().filter(|op| op.waits) {
        let over = op.over.unwrap_or(Nanos::MAX);
        let absences = touching(&facts.absences[op.process], (op.invoked, over)).iter().map(|absence| absence.0);
        let ends = absences.chain(facts.history.processes[op.process].gone);
        times.extend(ends.filter(|end| (op.invoked..=over).contains(end)));
    }
    times.retain(|time| facts.quiet.is_none_or(|quiet| *time <= quiet));
    times.sort_unstable();
    times
}

/// When who waited for a key and was running, by their beginnings.
fn waits(facts: &Facts, key: &str) -> Vec<(Span, usize)> {
    let mut spans = Vec::new();
    for op in facts.of_key(key).ops.iter().filter(|op| op.waits) {
        let gone = facts.history.processes[op.process].gone;
        let Some(end) = [op.over, gone].into_iter().flatten().min() else { continue };
        let mut from = op.invoked;
        for (gone, back) in touching(&facts.absences[op.process], (from, end)) {
            spans.push(((from, (*gone).max(from)), op.process));
            from = *back;
        }
        spans.push(((from, end), op.process));
    }
    spans.retain(|((from, to), _)| from < to);
    spans.sort_unstable();
    spans
}

/// When somebody waited for it.
fn waited_for(facts: &Facts, key: &str) -> Vec<Span> {
    merged(waits(facts, key).into_iter().map(|(span, _)| span).collect())
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
            let history = story.history();
            let found = violations(&Facts::of(&history), Patience { nanos: PATIENCE, waiters_may_hold });
            assert_eq!(found.into_iter().map(|found| found.invariant).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn in_the_quiet_nothing_begins_anew() {
        for (quiet, expected) in [(950, vec![]), (600, vec![Invariant::Liveness])] {
            let mut story = Story::new();
            story.waited(0, PATIENCE + 700);
            story.waited(10, PATIENCE + 700).killed(900);
            story.quiet(quiet);
            let history = story.history();
            let found = violations(&Facts::of(&history), Patience { nanos: PATIENCE, waiters_may_hold: true });
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
        let facts = Facts::of(&history);
        assert_eq!(takeovers(&facts, "k"), [20, 30]);
        assert_eq!(unavailability(&facts, "k"), Some(Unavailability { from: 200, to: 230 }));
    }
}

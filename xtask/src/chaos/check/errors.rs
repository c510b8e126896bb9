//! No call fails while the store is well, and no client ends badly.

use super::{Invariant, Violation, ms};
use crate::chaos::event::{Deed, Nanos};
use crate::chaos::facts::Facts;
use crate::chaos::span::touching;

/// A directory that is removed under a call may fail it, trouble with the store, and a standstill of its own process;
/// nothing else makes one fail.
pub(super) fn check(facts: &Facts) -> Vec<Violation> {
    let history = facts.history;
    let disturbed = |process: usize, from: Nanos, to: Nanos| {
        let process = &history.processes[process];
        process.troubled(from, to) || process.stood_still(from, to)
    };
    let excused = |key: &str, from, to| !touching(&facts.of_key(key).removals, (from, to)).is_empty();
    let failed = history.ops.iter().filter_map(|op| Some((op, op.error.as_ref()?, op.over?)));
    let failed = failed
        .filter(|(op, _, over)| !excused(&op.key, op.invoked, *over) && !disturbed(op.process, op.invoked, *over));
    let failed = failed.map(|(op, error, over)| {
        let process = &history.processes[op.process].name;
        format!("{process} asked for {} at {}: {error} at {}", op.key, ms(facts, op.invoked), ms(facts, over))
    });
    let at_the_end = history.acts.iter().filter_map(|act| match &act.deed {
        Deed::Ended { process, good: false } => Some(format!("{process} failed at {}", ms(facts, act.before))),
        Deed::LeftBehind { key, owner: Some(owner) } => Some(format!("all are gone, and {key} is held by {owner}")),
        _ => None,
    });
    // It isn't said which key a failed release or look was about.
    let helpless = history.failures.iter().filter(|failure| {
        let removed = !touching(&facts.removals, (failure.since, failure.at)).is_empty();
        !removed && !disturbed(failure.process, failure.since, failure.at)
    });
    let helpless = helpless.map(|failure| {
        let process = &history.processes[failure.process].name;
        format!("{process} was failed by the store: {} at {}", failure.error, ms(facts, failure.at))
    });
    failed
        .chain(helpless)
        .chain(at_the_end)
        .map(|shown_by| Violation { invariant: Invariant::Errors, shown_by })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, found};
    use super::*;

    #[test]
    fn a_call_that_fails_is_found_unless_the_directory_was_removed_meanwhile() {
        let mut story = Story::new();
        story.failed(100, 200);
        assert_eq!(found(&story), [Invariant::Errors]);
        story.removed(&[], 150, 160);
        assert_eq!(found(&story), []);
    }

    #[test]
    fn a_call_that_fails_is_excused_by_trouble_at_that_time_only() {
        for (troubles, expected) in [((150, 160), vec![]), ((10, 99), vec![Invariant::Errors; 2])] {
            let mut story = Story::new();
            story.failed(100, 200).troubled(troubles.0, troubles.1);
            story.helpless(140, 170);
            assert_eq!(found(&story), expected);
        }
    }

    #[test]
    fn a_call_that_fails_is_excused_by_a_standstill_within_it_only() {
        let second = 1_000_000_000;
        for (stop, expected) in [((second, 2 * second), 0), ((4 * second, 6 * second), 2)] {
            let mut story = Story::new();
            story.failed(second / 2, 3 * second).stopped(stop.0, stop.1);
            story.helpless(second / 2, 3 * second);
            let errors = found(&story).into_iter().filter(|found| *found == Invariant::Errors);
            assert_eq!(errors.count(), expected);
        }
    }

    #[test]
    fn a_call_just_after_a_standstill_is_excused_by_trouble_meanwhile() {
        let second = 1_000_000_000;
        // The stop is written down as over once the process runs again, so a call may seem to begin within it.
        for (begins, found_in_it) in [(7 * second - 1_000, 0), (7 * second, 0), (9 * second, 0), (11 * second, 2)] {
            for (trouble, expected) in [(3 * second, found_in_it), (second / 2, 2)] {
                let mut story = Story::new();
                let told = story.failed(begins, begins + 2_000).troubled(trouble, trouble + 1_000);
                told.stopped(second, 7 * second);
                story.helpless(begins, begins + 2_000);
                let errors = found(&story).into_iter().filter(|found| *found == Invariant::Errors);
                assert_eq!(errors.count(), expected, "{begins} {trouble}");
            }
        }
    }

    #[test]
    fn a_client_that_fails_is_found() {
        let mut story = Story::new();
        story.ended_badly(100);
        assert_eq!(found(&story), [Invariant::Errors]);
    }
}

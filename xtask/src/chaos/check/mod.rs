//! The invariants, tested on the history of a run: pure functions, nothing slower than sorting.

mod exclusion;
mod liveness;
mod losses;
mod resource;
#[cfg(test)]
mod story;
mod tokens;
mod trespass;

use std::fmt;

use super::belief::Belief;
use super::event::{Deed, Nanos};
use super::history::History;

pub(super) use liveness::{takeovers, unavailability};

/// An invariant that didn't hold, and the events that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) invariant: Invariant,
    pub(super) shown_by: String,
}

/// What must hold in every history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Invariant {
    /// (a) Tokens are unique, and greater for each later grant.
    Tokens,
    /// (b) No two believe in one lock at a time.
    Exclusion,
    /// (b) An administrator's act ends belief: no renewal that is sent after it succeeds.
    Administration,
    /// (b), (e) A lease is not lost before its deadline without a cause.
    Losses,
    /// (c), (d) The resource takes no token below the highest it saw, and loses no update.
    Resource,
    /// (e) A release by an owner that holds nothing changes nothing.
    Trespass,
    /// (f) Whoever waits for a lock that nobody holds gets it within a TTL and a grace.
    Liveness,
    /// No call fails while the store is well.
    Errors,
}

impl Invariant {
    pub(super) const ALL: [Self; 8] = [
        Self::Tokens,
        Self::Exclusion,
        Self::Administration,
        Self::Losses,
        Self::Resource,
        Self::Trespass,
        Self::Liveness,
        Self::Errors,
    ];

    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tokens => "(a) tokens",
            Self::Exclusion => "(b) exclusion",
            Self::Administration => "(b) administration",
            Self::Losses => "(b,e) losses",
            Self::Resource => "(c,d) resource",
            Self::Trespass => "(e) trespass",
            Self::Liveness => "(f) liveness",
            Self::Errors => "errors",
        }
    }
}

/// How long a client may wait for a lock in which nobody believes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The TTL, as often as the store needs it, and a grace for waking, scheduling and a loaded machine.
    pub(super) nanos: Nanos,
    /// Whoever is first in the queue holds the lock at the store, alive or not.
    pub(super) waiters_may_hold: bool,
}

/// Everything that is wrong with a history.
pub(super) fn violations(history: &History, patience: Patience) -> Vec<Violation> {
    let mut found = Vec::new();
    for (key, steps) in &history.resources {
        let beliefs = super::belief::of_key(history, key);
        found.extend(tokens::check(history, &beliefs));
        found.extend(exclusion::check(history, &beliefs));
        found.extend(losses::check(history, &beliefs));
        found.extend(resource::check(history, key, steps, &beliefs));
        found.extend(trespass::check(history, key, &beliefs));
        found.extend(liveness::check(history, key, &beliefs, patience));
    }
    found.extend(errors(history));
    found
}

/// A directory that is removed under a call may fail it, trouble with the store, and a standstill of its own process;
/// nothing else makes one fail.
fn errors(history: &History) -> Vec<Violation> {
    let disturbed = |process: usize, from: Nanos, to: Nanos| {
        let process = &history.processes[process];
        process.troubled(from, to) || process.stood_still(from, to)
    };
    let excused = |key: &str, from: Nanos, to: Nanos| {
        let removed = |deed: &Deed| matches!(deed, Deed::Removed { key: removed, .. } if removed == key);
        history.acts.iter().any(|act| removed(&act.deed) && act.after >= from && act.before <= to)
    };
    let failed = history.ops.iter().filter_map(|op| Some((op, op.error.as_ref()?, op.over?)));
    let failed = failed
        .filter(|(op, _, over)| !excused(&op.key, op.invoked, *over) && !disturbed(op.process, op.invoked, *over));
    let failed = failed.map(|(op, error, over)| {
        let process = &history.processes[op.process].name;
        format!("{process} asked for {} at {}: {error} at {}", op.key, ms(history, op.invoked), ms(history, over))
    });
    let at_the_end = history.acts.iter().filter_map(|act| match &act.deed {
        Deed::Ended { process, good: false } => Some(format!("{process} failed at {}", ms(history, act.before))),
        Deed::LeftBehind { key, owner: Some(owner) } => Some(format!("all are gone, and {key} is held by {owner}")),
        _ => None,
    });
    let helpless = history.failures.iter().filter(|failure| {
        let removed = |act: &super::event::Act| {
            matches!(act.deed, Deed::Removed { .. }) && act.after >= failure.since && act.before <= failure.at
        };
        !disturbed(failure.process, failure.since, failure.at) && !history.acts.iter().any(removed)
    });
    let helpless = helpless.map(|failure| {
        let process = &history.processes[failure.process].name;
        format!("{process} was failed by the store: {} at {}", failure.error, ms(history, failure.at))
    });
    failed
        .chain(helpless)
        .chain(at_the_end)
        .map(|shown_by| Violation { invariant: Invariant::Errors, shown_by })
        .collect()
}

/// A moment, as people read it: milliseconds since the run began.
fn ms(history: &History, at: Nanos) -> impl fmt::Display + use<> {
    let micros = at.saturating_sub(history.start) / 1_000;
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

/// A grant, with all that a reader needs to find it in the journals.
fn tell(history: &History, belief: &Belief) -> String {
    let grant = belief.grant;
    let mut text = format!(
        "{} token {} of {} owner {}: invoked {}, returned {}, last seen held {}, deadline {}, believed until {}",
        belief.op.key,
        grant.token,
        belief.process.name,
        grant.owner,
        ms(history, belief.op.invoked),
        ms(history, grant.returned),
        ms(history, grant.last_held),
        ms(history, grant.deadline),
        ms(history, belief.end()),
    );
    let mut and = |what: &str, at: Nanos| text.extend([format!(", {what} {}", ms(history, at))]);
    if let Some((at, reason)) = &grant.lost {
        and(&format!("lost ({reason})"), *at);
    }
    if let Some(at) = grant.let_go {
        and("let go", at);
    }
    if let Some(at) = belief.process.gone {
        and("its process ended", at);
    }
    if let Some(hit) = belief.hit {
        and("taken away", hit.before);
    }
    let spared = |deed: &Deed| matches!(deed, Deed::Spared { token, .. } if *token == grant.token);
    for act in history.acts.iter().filter(|act| spared(&act.deed)) {
        and("an administrator who wanted to take it away was told that it isn't there", act.after);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::story::{Story, found};
    use super::*;

    #[test]
    fn a_good_story_is_good() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(1_000).let_go(200);
        story.grant(210, 220, 2).let_go(300);
        assert_eq!(found(&story), []);
    }

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
    fn a_client_that_fails_is_found() {
        let mut story = Story::new();
        story.ended_badly(100);
        assert_eq!(found(&story), [Invariant::Errors]);
    }
}

//! The invariants, tested on the history of a run: pure functions, nothing slower than sorting it. Each walks what it
//! looks at once, and asks by binary searches (`facts`); `big` has a history grow, and counts.

#[cfg(test)]
mod big;
mod errors;
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
use super::event::Nanos;
use super::facts::Facts;

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
pub(super) fn violations(facts: &Facts, patience: Patience) -> Vec<Violation> {
    let mut found = Vec::new();
    for (key, steps) in &facts.history.resources {
        let beliefs = &facts.of_key(key).beliefs;
        found.extend(tokens::check(facts, beliefs));
        found.extend(exclusion::check(facts, beliefs));
        found.extend(losses::check(facts, beliefs));
        found.extend(resource::check(key, steps, beliefs));
        found.extend(trespass::check(facts, key));
        found.extend(liveness::check(facts, key, patience));
    }
    found.extend(errors::check(facts));
    found
}

/// A moment, as people read it: milliseconds since the run began.
fn ms(facts: &Facts, at: Nanos) -> impl fmt::Display + use<> {
    let micros = at.saturating_sub(facts.history.start) / 1_000;
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

/// A grant, with all that a reader needs to find it in the journals.
fn tell(facts: &Facts, belief: &Belief) -> String {
    let grant = belief.grant;
    let mut text = format!(
        "{} token {} of {} owner {}: invoked {}, returned {}, last seen held {}, deadline {}, believed until {}",
        belief.op.key,
        grant.token,
        belief.process.name,
        grant.owner,
        ms(facts, belief.op.invoked),
        ms(facts, grant.returned),
        ms(facts, grant.last_held),
        ms(facts, grant.deadline),
        ms(facts, belief.end()),
    );
    let mut and = |what: &str, at: Nanos| text.extend([format!(", {what} {}", ms(facts, at))]);
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
    for at in facts.spared(&belief.op.key, grant.token) {
        and("an administrator who wanted to take it away was told that it isn't there", *at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::story::{Story, found};

    #[test]
    fn a_good_story_is_good() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(1_000).let_go(200);
        story.grant(210, 220, 2).let_go(300);
        assert_eq!(found(&story), []);
    }
}

//! (c) The resource takes nothing below the highest token it saw. (d) Its counter loses no update.

use super::{Invariant, Violation};
use crate::chaos::belief::Belief;
use crate::chaos::resource::Step;

pub(super) fn check(key: &str, steps: &[Step], beliefs: &[Belief]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |what: String| found.push(Violation { invariant: Invariant::Resource, shown_by: what });
    for (number, pair) in steps.windows(2).enumerate() {
        let (before, after) = (&pair[0], &pair[1]);
        let at = number + 2;
        if after.token < before.token {
            wrong(format!("{key}, step {at}: a lower token was taken:\n    {before:?}\n    {after:?}"));
        } else if after.token == before.token && after.owner != before.owner {
            wrong(format!("{key}, step {at}: two owners wrote with one token:\n    {before:?}\n    {after:?}"));
        }
        if after.value != before.value + u64::from(after.writes) {
            wrong(format!("{key}, step {at}: an update was lost:\n    {before:?}\n    {after:?}"));
        }
    }
    let taken = steps.iter().filter(|step| step.writes).count() as u64;
    let counter = steps.last().map_or(0, |step| step.value);
    if counter != taken {
        wrong(format!("{key}: the counter stands at {counter} after {taken} increments"));
    }
    // A client may be killed after the resource took its write and before it wrote that down.
    let told: u64 = beliefs.iter().map(|belief| belief.grant.writes).sum();
    if told > taken {
        wrong(format!("{key}: {told} increments were confirmed, and the resource knows of {taken}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, found};
    use super::*;

    #[test]
    fn a_lower_token_is_found() {
        let mut story = Story::new();
        story.steps(&[(true, 2, "a", 1), (true, 1, "b", 2)]);
        assert_eq!(found(&story), [Invariant::Resource]);
    }

    #[test]
    fn one_token_of_two_owners_is_found() {
        let mut story = Story::new();
        story.steps(&[(true, 1, "a", 1), (true, 1, "b", 2)]);
        assert_eq!(found(&story), [Invariant::Resource]);
    }

    #[test]
    fn a_lost_update_is_found() {
        let mut story = Story::new();
        story.steps(&[(true, 1, "a", 1), (false, 2, "b", 1), (true, 2, "b", 1)]);
        assert_eq!(found(&story), [Invariant::Resource, Invariant::Resource], "the step and the sum");
    }

    #[test]
    fn a_confirmed_write_that_is_missing_is_found() {
        let mut story = Story::new();
        story.grant(0, 10, 1).wrote(20).wrote(30).let_go(40);
        story.steps(&[(false, 1, "a", 0), (true, 1, "a", 1)]);
        assert_eq!(found(&story), [Invariant::Resource]);
    }
}

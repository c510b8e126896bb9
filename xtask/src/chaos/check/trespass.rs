//! (e) A release by an owner that holds nothing changes nothing.

use super::{Invariant, Violation, ms, tell};
use crate::chaos::facts::Facts;

pub(super) fn check(facts: &Facts, key: &str) -> Vec<Violation> {
    let of_key = facts.of_key(key);
    let freed = of_key.trespasses.iter().filter(|trespass| trespass.freed);
    let freed = freed.map(|trespass| {
        let at = ms(facts, trespass.at);
        format!("owner {} holds nothing and freed {key} at {at}", trespass.owner)
    });
    // Looked at by holders that were held before and after: the store must have named them.
    let misnamed = of_key.beliefs.iter().filter_map(|belief| {
        let mut seen = belief.grant.inspected.iter();
        let (at, other) =
            seen.find(|(at, owner)| owner.as_ref() != Some(&belief.grant.owner) && !belief.excused(*at))?;
        let told = tell(facts, belief);
        Some(format!("the store named {other:?} as the holder at {}:\n    {told}", ms(facts, *at)))
    });
    freed.chain(misnamed).map(|shown_by| Violation { invariant: Invariant::Trespass, shown_by }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, found};
    use super::*;

    #[test]
    fn a_stranger_that_frees_is_found() {
        let mut story = Story::new();
        story.trespass(20, false);
        assert_eq!(found(&story), []);
        story.trespass(30, true);
        assert_eq!(found(&story), [Invariant::Trespass]);
    }

    #[test]
    fn a_holder_that_the_store_does_not_know_is_found() {
        for seen in [None, Some("another")] {
            let mut story = Story::new();
            story.grant(0, 10, 1).inspected(20, seen).let_go(30);
            assert_eq!(found(&story), [Invariant::Trespass]);
        }
    }
}

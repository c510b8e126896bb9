//! (a) Tokens are unique, and a grant that comes after another has a greater one.

use super::{Invariant, Violation, tell};
use crate::chaos::belief::Belief;
use crate::chaos::facts::Facts;

/// `beliefs` are by the time at which their calls returned.
pub(super) fn check(facts: &Facts, beliefs: &[Belief]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |what: &str, one: &Belief, other: &Belief| {
        let shown_by = format!("{what}:\n    {}\n    {}", tell(facts, one), tell(facts, other));
        found.push(Violation { invariant: Invariant::Tokens, shown_by });
    };
    let mut by_token: Vec<_> = beliefs.iter().collect();
    by_token.sort_by_key(|belief| belief.grant.token);
    for pair in by_token.windows(2).filter(|pair| pair[0].grant.token == pair[1].grant.token) {
        wrong("a token was granted twice", pair[0], pair[1]);
    }
    let mut by_invocation: Vec<_> = beliefs.iter().collect();
    by_invocation.sort_by_key(|belief| belief.op.invoked);
    let mut returned = beliefs.iter().peekable();
    let mut greatest: Option<&Belief> = None;
    for later in by_invocation {
        while let Some(earlier) = returned.next_if(|earlier| earlier.grant.returned < later.op.invoked) {
            if greatest.is_none_or(|greatest| greatest.grant.token < earlier.grant.token) {
                greatest = Some(earlier);
            }
        }
        if let Some(greatest) = greatest.filter(|greatest| greatest.grant.token > later.grant.token) {
            wrong("a later grant has a lower token", greatest, later);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, found};
    use super::*;

    #[test]
    fn a_token_granted_twice_is_found() {
        let mut story = Story::new();
        story.grant(0, 10, 7).let_go(20);
        story.grant(5, 40, 7).let_go(50);
        assert_eq!(found(&story), [Invariant::Tokens]);
    }

    #[test]
    fn a_token_that_goes_back_is_found() {
        let mut story = Story::new();
        story.grant(0, 10, 7).let_go(20);
        story.grant(30, 40, 6).let_go(50);
        assert_eq!(found(&story), [Invariant::Tokens]);
    }

    #[test]
    fn calls_that_overlap_may_be_answered_in_any_order() {
        let mut story = Story::new();
        story.grant(0, 10, 7).let_go(20);
        story.grant(5, 40, 6).let_go(50);
        assert_eq!(found(&story), []);
    }
}

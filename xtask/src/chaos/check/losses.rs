//! A lease that was promised until its deadline isn't lost before, unless an administrator took it.

use super::{Invariant, Violation, tell};
use crate::chaos::belief::Belief;
use crate::chaos::event::Nanos;
use crate::chaos::facts::Facts;

pub(super) fn check(facts: &Facts, beliefs: &[Belief]) -> Vec<Violation> {
    beliefs
        .iter()
        .filter_map(|belief| {
            let grant = belief.grant;
            let not_ours = |(at, ours): (Nanos, bool)| !ours && at < grant.deadline && !belief.excused(at);
            let not_ours = grant.released.is_some_and(not_ours);
            let refused = grant.refused.iter().any(|(at, _)| *at < grant.last_held && !belief.excused(*at));
            let what = if belief.premature_loss() {
                "a lease was lost before its deadline"
            } else if not_ours {
                "a release before the deadline found the lock not to be its own"
            } else if refused {
                "the resource refused a write of a holder that was still held afterwards"
            } else {
                return None;
            };
            let shown_by = format!("{what}:\n    {}", tell(facts, belief));
            Some(Violation { invariant: Invariant::Losses, shown_by })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, found};
    use super::*;

    #[test]
    fn a_loss_before_the_deadline_is_found() {
        for (lost, expected) in [(399, vec![Invariant::Losses]), (401, vec![])] {
            let mut story = Story::new();
            story.grant(0, 10, 1).renewed(400).lost(lost, "taken-away");
            assert_eq!(found(&story), expected);
        }
    }

    #[test]
    fn a_release_that_is_not_ours_is_found() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(400).let_go(100).released(110, false);
        assert_eq!(found(&story), [Invariant::Losses]);
    }

    #[test]
    fn a_holder_that_is_refused_is_found() {
        let mut story = Story::new();
        story.grant(0, 10, 1).refused(50).held(60);
        assert_eq!(found(&story), [Invariant::Losses]);
    }

    #[test]
    fn an_administrator_excuses_a_loss() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(400).refused(255).lost(260, "taken-away");
        story.broke(1, 200, 210);
        assert_eq!(found(&story), []);
    }
}

//! (b) No two believe in one lock at a time; and what an administrator takes away stays away.

use super::{Invariant, Violation, ms, tell};
use crate::chaos::belief::Belief;
use crate::chaos::facts::Facts;

/// `beliefs` are by their beginnings.
pub(super) fn check(facts: &Facts, beliefs: &[Belief]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut longest: Option<&Belief> = None;
    for belief in beliefs {
        if let Some(other) = longest.filter(|other| other.end() > belief.grant.returned)
            && belief.end() > belief.grant.returned
        {
            let shown_by = format!("two believe at a time:\n    {}\n    {}", tell(facts, other), tell(facts, belief));
            found.push(Violation { invariant: Invariant::Exclusion, shown_by });
        }
        if longest.is_none_or(|other| other.end() < belief.end()) {
            longest = Some(belief);
        }
    }
    found.extend(beliefs.iter().filter_map(|belief| outlives_its_end(facts, belief)));
    found
}

/// An administrator's act lets a newcomer in at once, so for a while two believe: that can't be
/// helped. The holder's belief ends with its next renewal, for that is refused, and at the
/// latest with the lease it had, which was sent for before the act was over. So no deadline may
/// ever be seen that is later than the act's end plus a TTL: a renewal sent after it has succeeded then.
fn outlives_its_end(facts: &Facts, belief: &Belief) -> Option<Violation> {
    let hit = belief.hit?;
    let bound = hit.after + belief.grant.ttl;
    let last = belief.grant.deadline.max(belief.grant.last_held);
    (last > bound).then(|| {
        let told = tell(facts, belief);
        let shown_by = format!("belief outlives an administrator's act, beyond {}:\n    {told}", ms(facts, bound));
        Violation { invariant: Invariant::Administration, shown_by }
    })
}

#[cfg(test)]
mod tests {
    use super::super::story::{Story, TTL, found};
    use super::*;

    #[test]
    fn two_that_believe_are_found() {
        let mut story = Story::new();
        story.grant(0, 10, 1).held(100);
        story.grant(50, 60, 2).let_go(70);
        assert_eq!(found(&story), [Invariant::Exclusion]);
    }

    #[test]
    fn one_that_is_stopped_believes_until_its_deadline() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(400).lost(600, "expired");
        story.grant(50, 399, 2).let_go(500);
        assert_eq!(found(&story), [Invariant::Exclusion]);
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(400).lost(600, "expired");
        story.grant(50, 401, 2).let_go(500);
        assert_eq!(found(&story), []);
    }

    #[test]
    fn an_overlap_behind_a_short_belief_is_found() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(500).let_go(450);
        story.grant(20, 30, 2).let_go(40);
        story.grant(50, 60, 3).let_go(70);
        assert_eq!(found(&story), [Invariant::Exclusion, Invariant::Exclusion]);
    }

    #[test]
    fn belief_ends_with_its_process() {
        let mut story = Story::new();
        story.grant(0, 10, 1).renewed(500).killed(100);
        story.grant(20, 101, 2).let_go(300);
        assert_eq!(found(&story), []);
    }

    #[test]
    fn an_administrator_lets_a_newcomer_in_at_once_and_not_sooner() {
        for (granted, expected) in [(210, vec![]), (190, vec![Invariant::Exclusion])] {
            let mut story = Story::new();
            story.grant(0, 10, 1).renewed(400).lost(300, "taken-away");
            story.broke(1, 200, 220);
            story.grant(20, granted, 2).let_go(400);
            assert_eq!(found(&story), expected);
        }
    }

    #[test]
    fn a_renewal_after_an_administrators_act_is_found() {
        for removal in [false, true] {
            let mut story = Story::new();
            story.grant(0, 10, 1).renewed(220 + TTL + 1).let_go(300);
            if removal {
                story.removed(&[1], 200, 220);
            } else {
                story.broke(1, 200, 220);
            }
            assert_eq!(found(&story), [Invariant::Administration]);
        }
    }

    #[test]
    fn a_removal_excuses_nobody_else() {
        let mut story = Story::new();
        story.grant(190, 230, 1).renewed(500).let_go(400);
        story.removed(&[7], 200, 220);
        story.grant(240, 250, 2).let_go(300);
        assert_eq!(found(&story), [Invariant::Exclusion]);
    }
}

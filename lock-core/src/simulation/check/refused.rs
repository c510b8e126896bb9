//! (b) Who is told that its lease is no more doesn't believe in it till the deadline.

use super::disturbed::PROMPT;
use super::holding::{Acquisition, Holding, Story, s};
use crate::simulation::history::Op;

pub(super) fn check(story: &Story) -> Vec<String> {
    story.holdings().filter_map(|(op, acquisition, holding)| of_one(story, op, acquisition, holding)).collect()
}

fn of_one(story: &Story, op: Op, acquisition: &Acquisition, holding: &Holding) -> Option<String> {
    let refused = *story.refused.get(&(holding.owner, holding.token))?;
    // The supervisor ends the lease in the step in which it hears of it.
    let heard = refused + PROMPT;
    let (at, _) = holding.looks.iter().find(|(at, _)| *at > heard)?;
    let stood_still = story.stood_still(acquisition.client, refused, heard);
    (!stood_still).then(|| format!("(b) #{op} was held at {}, though told at {} that it isn't", s(*at), s(refused)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::OwnerId;
    use crate::simulation::clock::Nanos;
    use crate::simulation::history::{Event, What};
    use crate::simulation::trial::Phases;

    const SECOND: Nanos = 1_000_000_000;

    /// What is found when client 0 holds a lock from 2 s on, looks at 5 s, and was told at this time that a lease is no more.
    fn found(told: Nanos, token: u64) -> Vec<String> {
        let (key, owner, until) = ("k0".to_owned(), OwnerId::from_bytes([1; 16]), 12 * SECOND);
        let event = |at, what| Event { at, client: Some(0), what };
        let mut events = vec![
            event(SECOND, What::Invoked { op: 0, key, waits: true, limit: None, max_hold: None }),
            event(2 * SECOND, What::Acquired { op: 0, owner, token: 7, until, supervisor: 0 }),
            event(told, What::Refused { owner, token }),
            event(5 * SECOND, What::Held { op: 0, until }),
        ];
        events.sort_by_key(|event| event.at);
        check(&Story::of(&events, Phases::of(Duration::from_secs(10))))
    }

    #[test]
    fn a_guard_that_is_held_on_is_found() {
        assert_eq!(found(4 * SECOND, 7), ["(b) #0 was held at 5.0000 s, though told at 4.0000 s that it isn't"]);
    }

    #[test]
    fn a_look_before_it_or_of_another_grant_is_not() {
        assert!(found(5 * SECOND - 1, 7).is_empty() && found(6 * SECOND, 7).is_empty());
        assert!(found(4 * SECOND, 6).is_empty(), "an earlier grant of the same owner");
    }
}

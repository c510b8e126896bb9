//! (b) No guard is handed out of whose lease nothing is left.
//!
//! The supervisor looks at the clock before it makes a guard, and hands it out in the same step. So a lease can be over
//! at the call's end only if the process was stopped in the midst of that step. A pause or a suspend, which begin
//! between two steps, excuse nothing: what they made too late is seen by that look.

use super::disturbed::PROMPT;
use super::holding::{Acquisition, Holding, Story, s};
use crate::simulation::history::Op;

pub(super) fn check(story: &Story) -> Vec<String> {
    story.holdings().filter_map(|(op, acquisition, holding)| of_one(story, op, acquisition, holding)).collect()
}

fn of_one(story: &Story, op: Op, acquisition: &Acquisition, holding: &Holding) -> Option<String> {
    let (at, until) = *holding.looks.first()?;
    let is_over = until <= at && !story.was_stalled(acquisition.client, at.saturating_sub(PROMPT), at);
    is_over.then(|| format!("(b) #{op} was handed out at {} with nothing left", s(at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnerId;
    use crate::simulation::clock::Nanos;
    use crate::simulation::history::{Disturbance, Event, What};
    use crate::simulation::trial::Phases;

    const SECOND: Nanos = 1_000_000_000;

    /// What is found when client 0 asks at 1 s, and is handed a guard at 12 s that promises the lock until then.
    fn found(until: Nanos, disturbed: Option<(usize, Disturbance, Nanos, Nanos)>) -> Vec<String> {
        let (key, owner, token) = ("k0".to_owned(), OwnerId::from_bytes([1; 16]), 7);
        let event = |at, client, what| Event { at, client, what };
        let invoked = What::Invoked { op: 0, key: key.clone(), waits: true, limit: None, max_hold: None };
        let mut events = vec![
            event(SECOND, Some(0), invoked),
            event(2 * SECOND, None, What::Granted { key, owner, token }),
            event(12 * SECOND, Some(0), What::Acquired { op: 0, owner, token, until, supervisor: 0 }),
        ];
        events.extend(
            disturbed.map(|(client, what, from, until)| event(from, Some(client), What::Disturbed { what, until })),
        );
        events.sort_by_key(|event| event.at);
        check(&Story::of(&events, Phases::of(std::time::Duration::from_secs(10))))
    }

    #[test]
    fn a_guard_with_something_left_is_as_it_should_be() {
        assert!(found(12 * SECOND + 1, None).is_empty());
    }

    #[test]
    fn a_guard_with_nothing_left_is_told() {
        assert_eq!(found(12 * SECOND, None), ["(b) #0 was handed out at 12.0000 s with nothing left"]);
    }

    #[test]
    fn who_was_stopped_after_the_look_at_the_clock_is_excused() {
        assert!(found(12 * SECOND, Some((0, Disturbance::Stalled, 3 * SECOND, 12 * SECOND))).is_empty());
    }

    /// The look at the clock comes after these, and a stop that was over long before, or another's, explains nothing.
    #[test]
    fn pauses_suspends_and_other_stops_excuse_nothing() {
        for what in [Disturbance::Paused, Disturbance::Suspended, Disturbance::CutOff, Disturbance::Message] {
            assert_eq!(found(12 * SECOND, Some((0, what, 3 * SECOND, 12 * SECOND))).len(), 1, "{what:?}");
        }
        assert_eq!(found(12 * SECOND, Some((1, Disturbance::Stalled, 3 * SECOND, 12 * SECOND))).len(), 1);
        assert_eq!(found(12 * SECOND, Some((0, Disturbance::Stalled, 3 * SECOND, 11 * SECOND))).len(), 1);
    }
}

//! A loss is final, has a cause, and is told in time.

use super::holding::{Acquisition, Holding, Story, s};
use crate::simulation::history::Op;

pub(super) fn check(story: &Story) -> Vec<String> {
    story.holdings().flat_map(|(op, acquisition, holding)| of_one(story, op, acquisition, holding)).collect()
}

fn of_one(story: &Story, op: Op, acquisition: &Acquisition, holding: &Holding) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(at) = holding.revived {
        found.push(format!("(b) #{op} was lost, and is held again at {}", s(at)));
    }
    if let Some((at, until)) = holding.looks.iter().find(|(at, until)| until <= at && *at > holding.returned) {
        found.push(format!("(b) #{op} said at {} that it is held, with nothing left ({})", s(*at), s(*until)));
    }
    let promised = holding.promised();
    if let Some((at, reason, told)) = holding.lost {
        let without_cause = match reason {
            "taken-away" => {
                let heard = story.heard(acquisition.client, at);
                story.gone(holding.owner, 0).is_none_or(|gone| gone > at)
                    && !story.excuses_within(holding.owner, heard, at)
            }
            // The first renewal after a disturbance may take a third of a TTL to fail, and the next had time to succeed.
            "expired" => {
                let calm = at.saturating_sub(story.ttl * 5 / 10);
                !story.excuses(holding.owner, at) && !story.was_disturbed(acquisition.client, calm, at)
            }
            "released" => true,
            _ => false,
        };
        if without_cause {
            found.push(format!("(e) #{op} was lost ({reason}) at {} without any cause", s(at)));
        }
        // Whatever failed meanwhile: it may be renewed till then.
        if reason == "expired" && at < promised {
            found.push(format!("(e) #{op} was lost (expired) at {}, before its time, {}", s(at), s(promised)));
        }
        if !told {
            found.push(format!("(b) #{op} said at {} that it is lost, and lost() didn't say so", s(at)));
        }
        // What is over, or known to be gone, is told then: whatever its holder asks or doesn't.
        let since = match reason {
            // Not what the last look promised: a renewal may have come since.
            "expired" | "max-hold" => holding.over,
            "taken-away" => story.refused.get(&(holding.owner, holding.token)).copied(),
            _ => None,
        };
        if let Some(since) = since.filter(|since| at > story.told_by(acquisition.client, holding.listened.max(*since)))
        {
            found.push(format!("(b) #{op} was lost at {} and told so at {} only", s(since), s(at)));
        }
    }
    if let Some((at, "lost")) = holding.released
        && let Some(let_go) = holding.let_go
        && holding.lost.is_none()
        && let_go < promised
        && !story.excuses(holding.owner, at)
        && story.gone(holding.owner, 0).is_none()
        // A shutdown under way may have let it go first.
        && holding.shut_down.is_none_or(|shut_down| shut_down > at)
        && !story.stood_still(acquisition.client, let_go, at)
        && at < promised
    {
        found.push(format!("(e) #{op} was released at {}, before its end, and told that it was lost", s(at)));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::OwnerId;
    use crate::simulation::clock::Nanos;
    use crate::simulation::history::{Disturbance, Event, What};
    use crate::simulation::trial::Phases;

    const MS: Nanos = 1_000_000;

    /// What is found when client 0 is promised a lock till 12,000 ms, writes till `listens`, and is told at `at` that it is
    /// lost. It was `disturbed` from when until when; told at 4,000 ms that its lease is no more.
    fn found(
        disturbed: &[(Disturbance, Nanos, Nanos)],
        listens: Nanos,
        lost: (Nanos, &'static str, bool),
    ) -> Vec<String> {
        // Whether it had a cause is (e).
        all_found(disturbed, listens, lost).into_iter().filter(|found| found.starts_with("(b)")).collect()
    }

    fn all_found(
        disturbed: &[(Disturbance, Nanos, Nanos)],
        listens: Nanos,
        (at, reason, told): (Nanos, &'static str, bool),
    ) -> Vec<String> {
        let (key, owner, token) = ("k0".to_owned(), OwnerId::from_bytes([1; 16]), 7);
        let event = |at, what| Event { at: at * MS, client: Some(0), what };
        let max_hold = Some(Duration::from_secs(10));
        let mut events = vec![
            event(1_000, What::Invoked { op: 0, key: key.clone(), waits: true, limit: None, max_hold }),
            Event { at: 2_000 * MS, client: None, what: What::Granted { key, owner, token } },
            event(2_002, What::Acquired { op: 0, owner, token, until: 12_000 * MS, supervisor: 0 }),
            event(listens, What::Listens { op: 0 }),
            event(4_000, What::Refused { owner, token }),
            event(at, What::Lost { op: 0, reason, told, over: 12_000 * MS }),
        ];
        events.extend(
            disturbed.iter().map(|(what, from, to)| event(*from, What::Disturbed { what: *what, until: to * MS })),
        );
        events.sort_by_key(|event| event.at);
        check(&Story::of(&events, Phases::of(Duration::from_secs(10))))
    }

    #[test]
    fn a_lease_that_is_not_renewed_ends_at_its_time_and_not_before() {
        let lost_at = |at| all_found(&[(Disturbance::Message, 7_500, 7_600)], 2_002, (at, "expired", true));
        assert_eq!(lost_at(8_000), ["(e) #0 was lost (expired) at 8.0000 s, before its time, 12.0000 s"]);
        assert!(lost_at(12_000).is_empty());
    }

    #[test]
    fn one_message_that_is_lost_long_before_is_no_cause() {
        let lost_after = |lost| all_found(&[(Disturbance::Message, lost, lost + 1)], 2_002, (12_000, "expired", true));
        assert!(lost_after(7_001).is_empty());
        assert_eq!(lost_after(6_990), ["(e) #0 was lost (expired) at 12.0000 s without any cause"]);
    }

    #[test]
    fn a_loss_is_told_at_the_deadline() {
        assert!(found(&[], 2_002, (12_004, "expired", true)).is_empty());
        let late = found(&[], 2_002, (12_005, "expired", true));
        assert_eq!(late, ["(b) #0 was lost at 12.0000 s and told so at 12.0050 s only"]);
        assert_eq!(found(&[], 2_002, (12_005, "max-hold", true)).len(), 1);
    }

    #[test]
    fn a_loss_that_the_store_told_is_told_on_at_once() {
        assert!(found(&[], 2_002, (4_004, "taken-away", true)).is_empty());
        assert_eq!(found(&[], 2_002, (4_100, "taken-away", true)).len(), 1);
    }

    #[test]
    fn who_writes_is_told_afterwards() {
        assert!(found(&[], 13_000, (13_004, "expired", true)).is_empty());
        assert_eq!(found(&[], 13_000, (13_005, "expired", true)).len(), 1);
    }

    /// That a stop covered the deadline excuses no delay after it.
    #[test]
    fn after_a_stop_a_loss_is_told_soon() {
        use Disturbance::{CutOff, Message, Paused, Stalled, Suspended};
        for (what, latest) in
            [(Paused, 15_004), (Stalled, 15_004), (Suspended, 15_520), (CutOff, 12_004), (Message, 12_004)]
        {
            let told = |at| found(&[(what, 11_900, 15_000)], 2_002, (at, "expired", true)).len();
            assert_eq!((told(latest), told(latest + 1)), (0, 1), "{what:?}");
        }
    }

    /// Timers stood still in it, and run late from then on.
    #[test]
    fn a_suspend_just_before_the_deadline_delays_what_is_told() {
        let told = |at| found(&[(Disturbance::Suspended, 8_000, 11_700)], 2_002, (at, "expired", true)).len();
        assert_eq!((told(12_220), told(12_221)), (0, 1));
        let twice = [(Disturbance::Suspended, 8_000, 11_700), (Disturbance::Paused, 12_100, 14_000)];
        let told = |at| found(&twice, 2_002, (at, "expired", true)).len();
        assert_eq!((told(14_004), told(14_005)), (0, 1));
    }

    #[test]
    fn a_loss_that_is_seen_and_not_told_is_found() {
        let untold = found(&[], 2_002, (12_001, "seen", false));
        assert_eq!(untold, ["(b) #0 said at 12.0010 s that it is lost, and lost() didn't say so"]);
    }

    /// The store's clock jumped at 3 s, and within a TTL its holder was told of the loss; but it was stopped before it
    /// could tell.
    #[test]
    fn a_loss_that_is_told_after_a_stop_has_its_cause_before_it() {
        let owner = OwnerId::from_bytes([1; 16]);
        let event = |at, client, what| Event { at: at * MS, client, what };
        for (stop, found) in [(11_000, 0), (14_000, 1)] {
            let events = [
                event(
                    1_000,
                    Some(0),
                    What::Invoked { op: 0, key: "k0".into(), waits: true, limit: None, max_hold: None },
                ),
                event(2_000, Some(0), What::Acquired { op: 0, owner, token: 7, until: 12_000 * MS, supervisor: 0 }),
                event(3_000, None, What::ClockJumped { owners: vec![owner], back: 0 }),
                event(stop, Some(0), What::Disturbed { what: Disturbance::Paused, until: 20_000 * MS }),
                event(20_000, Some(0), What::Lost { op: 0, reason: "taken-away", told: true, over: 12_000 * MS }),
            ];
            let story = Story::of(&events, Phases::of(Duration::from_secs(10)));
            let without_cause = check(&story).into_iter().filter(|found| found.starts_with("(e)"));
            assert_eq!(without_cause.count(), found, "stopped at {stop}");
        }
    }
}

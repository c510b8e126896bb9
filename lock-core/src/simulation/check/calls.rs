//! What is sent, and when: nothing is released under its holder's feet, nothing is renewed after its release,
//! nobody waits longer than asked, nothing is granted after a shutdown.

use std::collections::HashMap;

use super::holding::{Story, s};
use crate::simulation::history::{Event, What};
use crate::{Operation, OwnerId};

pub(super) fn check(story: &Story, events: &[Event]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut releases: HashMap<OwnerId, u64> = HashMap::new();
    for Event { at, what, .. } in events {
        match what {
            What::Sent { operation: Operation::Release, owner, .. } => drop(releases.entry(*owner).or_insert(*at)),
            What::Sent { operation: Operation::Renew, owner, nth, .. } => {
                if let Some(before) = releases.get(owner) {
                    let (before, at) = (s(*before), s(*at));
                    broken.push(format!("(e) request {nth} renews at {at} what its client released at {before}"));
                }
            }
            What::ShutDown { clean: false, .. } if *at > story.healed + story.ttl => {
                broken.push(format!("(e) a shutdown was unclean at {}, when nothing failed any more", s(*at)));
            }
            What::Remain { key, owner } => {
                broken.push(format!("(e) in the end {key} is still taken by {owner}, who has let go of everything"));
            }
            _ => {}
        }
    }
    for (op, _, holding) in story.holdings() {
        if let Some(released) = releases.get(&holding.owner) {
            let let_go = [holding.let_go, holding.lost.map(|(at, ..)| at)].into_iter().flatten().min();
            let may = let_go.into_iter().chain(holding.shut_down).min();
            if may.is_none_or(|may| may > *released) && holding.killed.is_none_or(|killed| killed > *released) {
                broken.push(format!("(e) #{op} was released at {} although its holder had it", s(*released)));
            }
        }
        if let Some(shut) = holding.shut_down {
            if shut < holding.returned {
                broken.push(format!("(e) #{op} was granted after its supervisor was shut down at {}", s(shut)));
            }
            if holding.looks.last().is_some_and(|(at, _)| *at > shut) {
                broken.push(format!("(e) #{op} is held although its supervisor was shut down at {}", s(shut)));
            }
        }
    }
    for (op, acquisition) in &story.ops {
        let Some((limit, over)) = acquisition.limit.zip(acquisition.over) else { continue };
        // The host's clock may be 1 % slow.
        let longest = super::super::clock::nanos(limit.mul_f64(1.011)) + 5_000_000;
        let took = over - acquisition.invoked;
        if took > longest && !story.stood_still(acquisition.client, acquisition.invoked, over) {
            broken.push(format!("(f) #{op} was to wait for {limit:?} at most, and waited for {}", s(took)));
        }
    }
    broken
}

//! (f) When nothing fails any more, whoever waits for a lock that nobody holds gets it.

use std::collections::BTreeSet;

use super::holding::{Story, s};
use crate::simulation::clock::Nanos;

pub(super) fn check(story: &Story) -> Vec<String> {
    // An orphan lives for a TTL, longer if the store's clock is set back, and what was on its way arrives within a
    // quarter of one; then there are calls that wait for a reply which was lost, and a notification that was.
    let patience = story.ttl + story.prolonged + story.ttl / 4 + story.ttl / 2;
    let keys: BTreeSet<&str> = story.ops.values().map(|acquisition| &*acquisition.key).collect();
    keys.into_iter().flat_map(|key| of_key(story, key, patience)).collect()
}

fn of_key(story: &Story, key: &str, patience: Nanos) -> Vec<String> {
    let mut believed: Vec<(Nanos, Nanos)> = (story.holdings())
        .filter(|(_, acquisition, _)| acquisition.key == key)
        .map(|(_, _, holding)| (holding.returned, holding.end()))
        .collect();
    believed.sort_unstable();
    let mut free = Vec::new();
    let mut from = story.healed;
    for (begin, end) in believed {
        if begin > from {
            free.push((from, begin));
        }
        from = from.max(end);
    }
    free.push((from, Nanos::MAX));
    let mut found = Vec::new();
    for (op, acquisition) in story.ops.iter().filter(|(_, acquisition)| acquisition.key == key && acquisition.waits) {
        let over = acquisition.over.unwrap_or(Nanos::MAX);
        let first = free.partition_point(|(_, to)| *to <= acquisition.invoked);
        for (from, to) in free[first..].iter().take_while(|(from, _)| *from < over) {
            let (from, to) = ((*from).max(acquisition.invoked), (*to).min(over));
            if to.saturating_sub(from) > patience && over != Nanos::MAX {
                found.push(format!("(f) #{op} waited for {key} from {} to {}, and nobody had it", s(from), s(to)));
            }
        }
    }
    found
}

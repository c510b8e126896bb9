//! (f) When nothing fails any more, whoever waits for a lock that nobody holds gets it.

use std::collections::BTreeMap;

use super::holding::{Acquisition, Story, s};
use crate::simulation::clock::Nanos;
use crate::simulation::history::Op;

pub(super) fn check(story: &Story) -> Vec<String> {
    // An orphan lives for a TTL, longer if the store's clock is set back, and what was on its way arrives within a
    // quarter of one; then there are calls that wait for a reply which was lost, and a notification that was.
    let patience = story.ttl + story.prolonged + story.ttl / 4 + story.ttl / 2;
    let mut by_key: BTreeMap<&str, Vec<(Op, &Acquisition)>> = BTreeMap::new();
    for (op, acquisition) in &story.ops {
        by_key.entry(&acquisition.key).or_default().push((*op, acquisition));
    }
    by_key.into_iter().flat_map(|(key, ops)| of_key(story, key, &ops, patience)).collect()
}

fn of_key(story: &Story, key: &str, ops: &[(Op, &Acquisition)], patience: Nanos) -> Vec<String> {
    let holdings = ops.iter().filter_map(|(_, acquisition)| acquisition.holding.as_ref());
    let mut believed: Vec<(Nanos, Nanos)> = holdings.map(|holding| (holding.returned, holding.end())).collect();
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
    // A shorter time is no reason to complain, whoever waits in it.
    free.retain(|(from, to)| to - from > patience);
    let starved = ops.iter().filter(|(_, acquisition)| acquisition.waits).filter_map(|(op, acquisition)| {
        let over = acquisition.over?;
        let first = free.partition_point(|(_, to)| *to <= acquisition.invoked);
        // The second that begins within the wait is one to complain of, or the last to be looked at.
        let within = free[first..].iter().take_while(|(from, _)| *from < over);
        let mut within = within.map(|(from, to)| ((*from).max(acquisition.invoked), (*to).min(over)));
        let (from, to) = within.find(|(from, to)| to - from > patience)?;
        Some(format!("(f) #{op} waited for {key} from {} to {}, and nobody had it", s(from), s(to)))
    });
    starved.collect()
}

//! (b) Belief has ended before the store grants the lock to anyone else.
//!
//! That is more than "no two believe at a time": the other's belief begins a way of the network later.

use super::holding::{Story, s};

pub(super) fn check(story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    for (op, acquisition, holding) in story.holdings() {
        let grants = story.grants.get(&acquisition.key).map_or(&[][..], Vec::as_slice);
        let Some(own) = story.own_grant(acquisition, holding) else {
            found.push(format!("(b) #{op} was never granted by the store"));
            continue;
        };
        // Its process may have stood still until the grant was over: then it never believed.
        if holding.promised() <= holding.returned {
            continue;
        }
        let end = holding.end();
        // Others may come at once, then. But no renewal succeeds any more.
        if let Some(gone) = story.gone(holding.owner, grants[own].0).filter(|gone| end > gone + story.ttl) {
            let (gone, end) = (s(gone), s(end));
            found.push(format!(
                "(b) #{op} lost its lease at {gone} and believes in it until {end}, more than a TTL later"
            ));
        }
        if let Some((at, other, _)) = grants[own + 1..].iter().find(|(_, other, _)| *other != holding.owner)
            && *at < end
            && !story.excuses(holding.owner, *at)
        {
            let other = &other.to_string()[..6];
            found.push(format!(
                "(b) at {} {} was granted to {other}, but #{op} believes that it has it until {}",
                s(*at),
                acquisition.key,
                s(end)
            ));
        }
    }
    found
}

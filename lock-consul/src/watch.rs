//! Watching keys: few connections, however many keys.
//!
//! A lane is one blocking query on the longest common beginning of the keys that it watches. The first keys have a
//! lane each, so that nothing but their own change wakes it; more keys share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::api::{Api, Listing};
use crate::wire::Entry;

mod lanes;
mod task;
#[cfg(test)]
mod tests;

use lanes::{LANES, Lanes, Member, Query, common};
use task::{Running, run};

/// How long the agent holds a query when nothing happens.
const HELD_FOR: Duration = Duration::from_secs(10);
/// A query that is given up goes on at the agent until so long after it began, and keeps its connection; so only one is
/// given up at a time. (Consul adds up to a sixteenth, and a query takes a moment to get there.)
const LINGERS_FOR: Duration = Duration::from_millis(10_000 + 10_000 / 16 + 200);
/// For how long a lane that was shared covers what it did, though fewer keys are left: who waits for one lock after the
/// other beside those that it holds must not give up a query for each.
const WIDE_FOR: Duration = Duration::from_secs(30);

/// A key, and the index at which it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) key: String,
    pub(crate) index: u64,
}

/// All watches of a backend.
#[derive(Debug, Clone)]
pub(crate) struct Watches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: Arc<Api>,
    lanes: Mutex<Lanes>,
    /// Told when a key came that the lane's query doesn't cover, or while the lane pauses.
    outgrown: [Notify; LANES],
}

impl Watches {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self(Arc::new(Inner { api, lanes: Mutex::default(), outgrown: Default::default() }))
    }

    /// Waits until the key is another than was seen; answers what it is now, `None` when it is gone, or when it was
    /// another already. Never answers while the agent can't be asked: who calls has a fallback.
    pub(crate) async fn change(&self, seen: Seen) -> Option<Entry> {
        let (tell, told) = oneshot::channel();
        let _place = self.0.join(seen, tell);
        match told.await {
            Ok(entry) => entry,
            Err(_) => std::future::pending().await,
        }
    }
}

/// A key's place in a lane, until it is dropped.
struct InLane {
    inner: Arc<Inner>,
    lane: usize,
    member: u64,
}

impl Drop for InLane {
    fn drop(&mut self) {
        self.inner.lock().all[self.lane].members.remove(&self.member);
    }
}

impl Inner {
    fn join(self: &Arc<Self>, seen: Seen, tell: oneshot::Sender<Option<Entry>>) -> InLane {
        let mut lanes = self.lock();
        let member = lanes.next;
        lanes.next += 1;
        let index = lanes.best_for(&seen.key);
        let place = InLane { inner: self.clone(), lane: index, member };
        let lane = &mut lanes.all[index];
        if lane.has_passed(&seen) {
            drop(tell.send(None));
            return place;
        }
        let covered = seen.key.starts_with(&lane.query.prefix) && !lane.pauses;
        lane.members.insert(member, Member { seen, since: lane.query.number, tell });
        let start = lane.task.is_none();
        if start {
            lane.task = Some(member);
        }
        drop(lanes);
        if start {
            tokio::spawn(run(Running::new(self.clone(), index, member)));
        } else if !covered {
            self.outgrown[index].notify_one();
        }
        place
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the lane is to ask next; `None` when nobody watches.
    fn plan(&self, lane: usize) -> Option<Query> {
        let now = Instant::now();
        let lane = &mut self.lock().all[lane];
        if lane.members.len() > 1 {
            lane.wide_until = Some(now + WIDE_FOR);
        }
        let mut keys = lane.members.values().map(|member| &*member.seen.key);
        let Some(first) = keys.next() else {
            lane.end();
            return None;
        };
        let mut prefix = keys.fold(first, common);
        if lane.wide_until.is_some_and(|end| end > now) {
            prefix = common(prefix, &lane.query.prefix);
        }
        let prefix = prefix.to_owned();
        let index = match lane.members.values().next() {
            // Of one key, what was seen of it is all that has to be known.
            Some(only) if prefix == only.seen.key => {
                lane.known = HashMap::from([(prefix.clone(), only.seen.index)]);
                only.seen.index
            }
            _ if prefix == lane.query.prefix => lane.query.index,
            _ => 0,
        };
        lane.query = Query { prefix, number: lane.query.number + 1, index };
        Some(lane.query.clone())
    }

    /// The keys that the query under way doesn't cover: their common beginning, and whose they are.
    fn uncovered(&self, lane: usize) -> Option<(String, Vec<u64>)> {
        let lane = &self.lock().all[lane];
        let left_out = |member: &Member| !member.seen.key.starts_with(&lane.query.prefix);
        let members = || lane.members.iter().filter(|(_, member)| left_out(member));
        let prefix = members().map(|(_, member)| &*member.seen.key).reduce(common)?.to_owned();
        Some((prefix, members().map(|(number, _)| *number).collect()))
    }

    /// May the query be given up that began then? Else: when that can be asked again.
    fn may_give_up(&self, began: Instant) -> Result<(), Instant> {
        let mut lanes = self.lock();
        let now = Instant::now();
        match lanes.lingers {
            Some(end) if end > now => Err(end),
            _ => {
                lanes.lingers = Some(began + LINGERS_FOR);
                Ok(())
            }
        }
    }

    /// Tells those of these whose key changed, by an answer to what was asked after they had come.
    fn tell_some(&self, lane: usize, some: &[u64], mut listing: Listing) {
        let lane = &mut self.lock().all[lane];
        for number in some {
            let Some(member) = lane.members.get(number) else { continue };
            let at = listing.entries.iter().position(|entry| entry.key == member.seen.key);
            let changed = at.map(|at| listing.entries[at].modify_index) != Some(member.seen.index);
            if changed && let Some(member) = lane.members.remove(number) {
                drop(member.tell.send(at.map(|at| listing.entries.swap_remove(at))));
            }
        }
    }

    /// Tells whoever's key changed. False when nobody's did.
    fn tell(&self, lane: usize, query: &Query, mut listing: Listing) -> bool {
        let lane = &mut self.lock().all[lane];
        // Back: the servers were restored from a snapshot, or lost their data.
        let went_back = listing.index < query.index;
        lane.query.index = if went_back { 0 } else { listing.index };
        lane.known = listing.entries.iter().map(|entry| (entry.key.clone(), entry.modify_index)).collect();
        let changed = |member: &Member| {
            let now = lane.known.get(&*member.seen.key).copied();
            // An answer to a query that began before the key was seen may be older than that.
            let fresh = went_back || member.since < query.number;
            if fresh { now != Some(member.seen.index) } else { member.seen.is_older_than(now, listing.index) }
        };
        let told: Vec<u64> =
            lane.members.iter().filter(|(_, member)| changed(member)).map(|(number, _)| *number).collect();
        for number in &told {
            if let Some(member) = lane.members.remove(number) {
                let at = listing.entries.iter().position(|entry| entry.key == member.seen.key);
                drop(member.tell.send(at.map(|at| listing.entries.swap_remove(at))));
            }
        }
        !told.is_empty()
    }
}

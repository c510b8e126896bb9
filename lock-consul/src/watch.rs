//! Watching keys: few connections, however many keys.
//!
//! A lane is one blocking query on the longest common beginning of the keys that it watches. The first keys have a
//! lane each, so that nothing but their own change wakes it; more keys share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::api::{Api, Listing};
use crate::wire::Entry;

mod lanes;
#[cfg(test)]
mod tests;

use lanes::{LANES, Lanes, Member, Query, common};

/// How long the agent holds a query when nothing happens. One that is given up goes on there for so long, and keeps
/// its connection; so only one is given up at a time.
const HELD_FOR: Duration = Duration::from_secs(10);
/// After an answer that told nobody anything: other keys change below the common beginning. Twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// After a query that failed, twice as long each time.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

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
            tokio::spawn(run(Running { inner: self.clone(), lane: index, number: member }));
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
        let lane = &mut self.lock().all[lane];
        let mut keys = lane.members.values().map(|member| &*member.seen.key);
        let Some(first) = keys.next() else {
            lane.end();
            return None;
        };
        let prefix = keys.fold(first, common).to_owned();
        let index = match lane.members.values().next() {
            // Of one key, what was seen of it is all that has to be known.
            Some(only) if lane.members.len() == 1 => {
                lane.known = HashMap::from([(prefix.clone(), only.seen.index)]);
                only.seen.index
            }
            _ if prefix == lane.query.prefix => lane.query.index,
            _ => 0,
        };
        lane.query = Query { prefix, number: lane.query.number + 1, index };
        Some(lane.query.clone())
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

/// A lane's task. Told to the lane when it ends, however it ends: the runtime that it is on may be shut down.
struct Running {
    inner: Arc<Inner>,
    lane: usize,
    number: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let lane = &mut self.inner.lock().all[self.lane];
        // Another may run by now: this one told of its end when nobody watched.
        if lane.task == Some(self.number) {
            lane.end();
        }
    }
}

impl Running {
    /// Returns when the query under way doesn't cover all keys, and may be given up.
    async fn outgrown(&self) {
        self.inner.outgrown[self.lane].notified().await;
        loop {
            let lingers = {
                let mut lanes = self.inner.lock();
                let now = Instant::now();
                match lanes.lingers {
                    Some(end) if end > now => end,
                    _ => {
                        lanes.lingers = Some(now + HELD_FOR + HELD_FOR / 16);
                        return;
                    }
                }
            };
            sleep_until(lingers).await;
        }
    }

    /// Pauses, unless somebody comes who wants to know.
    async fn pause(&self, pause: Duration) {
        let pauses = |pauses| self.inner.lock().all[self.lane].pauses = pauses;
        pauses(true);
        let _ = timeout(pause, self.inner.outgrown[self.lane].notified()).await;
        pauses(false);
    }
}

async fn run(this: Running) {
    let (inner, lane) = (&this.inner, this.lane);
    let (mut pause, mut retry) = (FIRST_PAUSE, FIRST_RETRY);
    while let Some(query) = inner.plan(lane) {
        let answer = tokio::select! {
            answer = inner.api.watch(&query.prefix, query.index, HELD_FOR) => answer,
            () = this.outgrown() => continue,
        };
        match answer {
            Ok(listing) => {
                retry = FIRST_RETRY;
                let first_look = query.index == 0;
                if inner.tell(lane, &query, listing) || first_look {
                    pause = FIRST_PAUSE;
                } else {
                    this.pause(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
            Err(error) => {
                tracing::debug!(%error, prefix = query.prefix, "a watch failed");
                inner.lock().all[lane].query.index = 0;
                sleep(retry).await;
                retry = (2 * retry).min(LONGEST_RETRY);
            }
        }
    }
}

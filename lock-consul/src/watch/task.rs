//! What a lane does: asks, tells, and asks again.

use std::sync::Arc;
use std::time::Duration;

use lock_core::Operation;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{HELD_FOR, Inner};

/// After an answer that told nobody anything: other keys change below the common beginning. Twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// After a query that failed, twice as long each time.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// From one look at keys that no query covers yet to the next, twice as long each time.
const FIRST_APART: Duration = Duration::from_millis(50);
const LONGEST_APART: Duration = Duration::from_millis(800);

/// A lane's task. Told to the lane when it ends, however it ends: the runtime that it is on may be shut down.
pub(super) struct Running {
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
    pub(super) fn new(inner: Arc<Inner>, lane: usize, number: u64) -> Self {
        Self { inner, lane, number }
    }

    /// Returns when the query under way, that began then, doesn't cover all keys, and may be given up. While it may not, the
    /// others are asked for from time to time.
    async fn outgrown(&self, began: Instant) {
        let mut apart = FIRST_APART;
        loop {
            if self.inner.uncovered(self.lane).is_none() {
                apart = FIRST_APART;
                self.inner.outgrown[self.lane].notified().await;
                continue;
            }
            let Err(end) = self.inner.may_give_up(began) else { return };
            sleep_until(end.min(Instant::now() + apart)).await;
            apart = (2 * apart).min(LONGEST_APART);
            self.ask_for_the_others().await;
        }
    }

    async fn ask_for_the_others(&self) {
        let Some((prefix, members)) = self.inner.uncovered(self.lane) else { return };
        match self.inner.api.list(Operation::Wait, &prefix).await {
            Ok(listing) => self.inner.tell_some(self.lane, &members, listing),
            Err(error) => tracing::debug!(%error, prefix, "keys could not be asked for"),
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

pub(super) async fn run(this: Running) {
    let (inner, lane) = (&this.inner, this.lane);
    let (mut pause, mut retry) = (FIRST_PAUSE, FIRST_RETRY);
    while let Some(query) = inner.plan(lane) {
        let answer = tokio::select! {
            answer = inner.api.watch(&query.prefix, query.index, HELD_FOR) => answer,
            () = this.outgrown(Instant::now()) => continue,
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

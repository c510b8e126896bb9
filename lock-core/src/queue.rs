//! The queue inside this process: of the tasks that want one key, one at a time stands at the store.
//!
//! Others in line cost the store nothing, and are served in the order in which they came.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::{Contention, LockKey};

/// The lines of all keys, and how many stand in each. A line lives as long as someone does.
#[derive(Default)]
pub(crate) struct LocalQueues(Mutex<HashMap<LockKey, (Arc<Line>, usize)>>);

struct Line {
    /// One permit: the place at the store. Tokio's semaphore is first come, first served.
    place: Semaphore,
    /// What the one at the store saw when it began to wait there.
    seen: Mutex<Option<Contention>>,
    changed: Notify,
    /// The store has answered somebody in this line, and has failed nobody since: who comes next is known to stand in
    /// line before it has asked.
    answered: AtomicBool,
}

/// The place at the store. Dropping it lets the next one go there.
pub(crate) struct Turn(Entry);

/// Somebody's presence in a line, so that the line is removed with the last one.
struct Entry {
    queues: Arc<LocalQueues>,
    key: LockKey,
    line: Arc<Line>,
}

impl LocalQueues {
    /// Waits for the place at the store. Dropping the future leaves the line.
    pub(crate) async fn turn(self: &Arc<Self>, key: &LockKey) -> Turn {
        let entry = self.enter(key);
        entry.line.place().await.forget();
        Turn(entry)
    }

    /// As [`turn`](Self::turn) for somebody who won't wait for the lock: refused as soon as the one
    /// at the store is known to wait. (While that one's first call is under way, it is waited for.)
    pub(crate) async fn turn_unless_contended(self: &Arc<Self>, key: &LockKey) -> Result<Turn, Contention> {
        let entry = self.enter(key);
        tokio::select! {
            biased;
            permit = entry.line.place() => permit.forget(),
            seen = entry.line.contention() => return Err(seen),
        }
        Ok(Turn(entry))
    }

    fn enter(self: &Arc<Self>, key: &LockKey) -> Entry {
        let mut lines = self.lines();
        let (line, presence) = lines.entry(key.clone()).or_insert_with(|| (Arc::new(Line::new()), 0));
        *presence += 1;
        let line = line.clone();
        drop(lines);
        Entry { queues: self.clone(), key: key.clone(), line }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<LockKey, (Arc<Line>, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new() -> Self {
        Self {
            place: Semaphore::new(1),
            seen: Mutex::new(None),
            changed: Notify::new(),
            answered: AtomicBool::new(false),
        }
    }

    /// The place at the store; forgotten here, and given back when the [`Turn`] is dropped.
    async fn place(&self) -> SemaphorePermit<'_> {
        self.place.acquire().await.expect("the semaphore is never closed")
    }

    fn seen(&self) -> MutexGuard<'_, Option<Contention>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn contention(&self) -> Contention {
        loop {
            let changed = self.changed.notified();
            if let Some(seen) = self.seen().clone() {
                return seen;
            }
            changed.await;
        }
    }
}

impl Turn {
    /// The one at the store begins to wait, having seen this.
    pub(crate) fn waits(&self, seen: Contention) {
        self.store_answered();
        *self.0.line.seen() = Some(seen);
        self.0.line.changed.notify_waiters();
    }

    /// The store has answered.
    pub(crate) fn store_answered(&self) {
        self.0.line.answered.store(true, Ordering::Relaxed);
    }

    /// The store has failed for so long that this one gives up.
    pub(crate) fn store_failed(&self) {
        self.0.line.answered.store(false, Ordering::Relaxed);
    }

    /// Whether the store has answered others in this line.
    pub(crate) fn is_in_line(&self) -> bool {
        self.0.line.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The next one at the store hasn't seen anything yet.
        *self.0.line.seen() = None;
        self.0.line.place.add_permits(1);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut lines = self.queues.lines();
        if let Some((_, presence)) = lines.get_mut(&self.key) {
            *presence -= 1;
            if *presence == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LockRecord;

    #[tokio::test]
    async fn a_line_is_gone_with_the_last_one_in_it() {
        let queues = Arc::new(LocalQueues::default());
        let key = LockKey::new("k").unwrap();
        let first = queues.turn(&key).await;
        let second = tokio::spawn({
            let (queues, key) = (queues.clone(), key.clone());
            async move { drop(queues.turn(&key).await) }
        });
        tokio::task::yield_now().await;
        drop(first);
        second.await.unwrap();
        assert!(queues.lines().is_empty());
    }

    #[test]
    fn two_who_leave_at_once_leave_no_line() {
        let queues = Arc::new(LocalQueues::default());
        for round in 0..2_000 {
            let key = LockKey::new(format!("{round}")).unwrap();
            let (one, two) = (queues.enter(&key), queues.enter(&key));
            std::thread::scope(|scope| {
                scope.spawn(move || drop(one));
                scope.spawn(move || drop(two));
            });
        }
        assert!(queues.lines().is_empty());
    }

    #[tokio::test]
    async fn one_who_will_not_wait_is_refused_once_another_waits() {
        let queues = Arc::new(LocalQueues::default());
        let key = LockKey::new("k").unwrap();
        let first = queues.turn(&key).await;
        let seen = Contention::new(LockRecord::unknown(key.clone()));
        first.waits(seen.clone());
        assert_eq!(queues.turn_unless_contended(&key).await.err(), Some(seen));
        drop(first);
        assert!(queues.turn_unless_contended(&key).await.is_ok());
        assert!(queues.lines().is_empty());
    }
}

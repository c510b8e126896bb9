//! Held locks are watched: a loss is heard of before the next renewal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lock_core::{AcquireRequest, LossHint, OwnerId};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::owners::{Mine, Slot};
use crate::watch::{Seen, Watches};

/// A lock is watched once it was held for so long: most are released by then, and cost no watch.
const SOON: Duration = Duration::from_millis(300);

/// The locks that were granted a moment ago.
#[derive(Debug, Clone)]
pub(crate) struct Watched(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    watches: Watches,
    granted: Mutex<Granted>,
}

#[derive(Debug, Default)]
struct Granted {
    /// In the order in which their watches are to begin.
    queue: VecDeque<Due>,
    running: bool,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    /// Weak: a lock that is released by then is gone.
    slot: Weak<tokio::sync::Mutex<Mine>>,
    lock: String,
    owner: OwnerId,
    hint: LossHint,
}

/// The watch of one lock that is held; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    task: AbortHandle,
    lock: String,
    owner: OwnerId,
    hint: LossHint,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    pub(crate) fn new(watches: Watches) -> Self {
        Self(Arc::new(Inner { watches, granted: Mutex::default() }))
    }

    /// The lock was granted: its key is watched from some moment on, if it is still held then.
    pub(crate) fn soon(&self, slot: &Slot, request: &AcquireRequest, lock: String) {
        let (owner, hint) = (request.owner(), request.loss_hint().clone());
        let due = Due { at: Instant::now() + SOON, slot: Arc::downgrade(slot), lock, owner, hint };
        let mut granted = self.0.lock();
        granted.queue.push_back(due);
        if !std::mem::replace(&mut granted.running, true) {
            drop(granted);
            tokio::spawn(run(Running(self.0.clone())));
        }
    }
}

impl Mine {
    /// After a renewal that found the lock held, and its key at this index: goes on watching, where the watch had ended
    /// with a hint.
    pub(crate) fn watch_again(&mut self, watches: &Watches, index: u64) {
        if let Some(watch) = self.watch.take_if(|watch| watch.task.is_finished()) {
            self.watch(watches, index, watch.lock.clone(), watch.owner, watch.hint.clone());
        }
    }

    fn watch(&mut self, watches: &Watches, index: u64, lock: String, owner: OwnerId, hint: LossHint) {
        let Some(session) = &self.session else { return };
        let seen = Seen { key: lock.clone(), index };
        let task = tokio::spawn(until_lost(watches.clone(), session.id.clone(), seen, owner, hint.clone()));
        self.watch = Some(Watch { task: task.abort_handle(), lock, owner, hint });
    }
}

/// Hints at a loss when the key isn't the session's any more.
async fn until_lost(watches: Watches, session: String, mut seen: Seen, owner: OwnerId, hint: LossHint) {
    loop {
        match watches.change(seen.clone()).await {
            // Somebody wrote to the key, and took it from nobody.
            Some(entry) if entry.session() == Some(&*session) => seen.index = entry.modify_index,
            _ => return hint.fire(owner),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Granted> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the watches that are due; when the next is, `None` when there is none.
    fn turn(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut granted = self.lock();
        while granted.queue.front().is_some_and(|due| due.at <= now)
            && let Some(due) = granted.queue.pop_front()
        {
            let Some(slot) = due.slot.upgrade() else { continue };
            match slot.try_lock() {
                Ok(mut mine) => {
                    if let Some(held) = mine.held
                        && mine.watch.is_none()
                    {
                        mine.watch(&self.watches, held.token.get(), due.lock, due.owner, due.hint);
                    }
                }
                // A call of the owner is under way.
                Err(_) => granted.queue.push_back(Due { at: now + SOON, ..due }),
            }
        }
        let next = granted.queue.front().map(|due| due.at);
        granted.running = next.is_some();
        next
    }
}

/// Told when the task ends, however it ends: the next grant then starts another.
struct Running(Arc<Inner>);

impl Drop for Running {
    fn drop(&mut self) {
        // Ended by itself, it told so already, and another may run: a second does no harm.
        let mut granted = self.0.lock();
        granted.running &= granted.queue.is_empty();
    }
}

async fn run(this: Running) {
    while let Some(next) = this.0.turn() {
        sleep_until(next).await;
    }
}

//! What the servers tell this client without being asked: who is woken, and who lost a lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lock_core::{LossHint, OwnerId};
use redis::{FromRedisValue, Value};
use tokio::sync::Notify;

use crate::shared::Shared;

/// Everybody in this client who waits for a message.
pub(crate) struct Inbox {
    known: Mutex<Known>,
    shared: Weak<Shared>,
}

#[derive(Default)]
struct Known {
    /// Owners with a place in a queue, whether they wait at this moment or not.
    waiting: HashMap<OwnerId, Arc<Place>>,
    /// Owners that hold a lock.
    holding: HashMap<OwnerId, LossHint>,
}

/// An owner's place in a lock's queue.
pub(crate) struct Place {
    /// The element in the list.
    pub(crate) entry: String,
    pub(crate) wake: Notify,
}

impl Inbox {
    pub(crate) fn new(shared: Weak<Shared>) -> Self {
        Self { known: Mutex::default(), shared }
    }

    /// The owner's place: the one that it has, or a new one. Also says which.
    pub(crate) fn place(&self, owner: OwnerId, entry: impl FnOnce() -> String) -> (Arc<Place>, bool) {
        let mut known = self.known();
        if let Some(place) = known.waiting.get(&owner) {
            return (place.clone(), false);
        }
        let place = Arc::new(Place { entry: entry(), wake: Notify::new() });
        known.waiting.insert(owner, place.clone());
        (place, true)
    }

    /// The owner holds a lock now.
    pub(crate) fn holds(&self, owner: OwnerId, hint: LossHint) {
        let mut known = self.known();
        known.waiting.remove(&owner);
        known.holding.insert(owner, hint);
    }

    /// How many in this client have a place in a queue.
    pub(crate) fn waiting(&self) -> usize {
        self.known().waiting.len()
    }

    /// The owner's place, if it has one.
    pub(crate) fn place_of(&self, owner: OwnerId) -> Option<Arc<Place>> {
        self.known().waiting.get(&owner).cloned()
    }

    /// The owner is done.
    pub(crate) fn leaves(&self, owner: OwnerId) {
        let mut known = self.known();
        known.holding.remove(&owner);
        known.waiting.remove(&owner);
    }

    /// Lets all who wait look for themselves: messages may have been lost.
    pub(crate) fn look_all(&self) {
        for place in self.known().waiting.values() {
            place.wake.notify_one();
        }
    }

    /// A message: the channel, and "<owner> <lock's name>" or "lost <owner>".
    pub(crate) fn message(&self, data: &[Value]) {
        let Some(text) = data.last().and_then(|text| String::from_redis_value_ref(text).ok()) else { return };
        let Some((first, second)) = text.split_once(' ') else { return };
        if first == "lost" {
            let Ok(owner) = second.parse() else { return };
            let hint = self.known().holding.get(&owner).cloned();
            if let Some(hint) = hint {
                hint.fire(owner);
            }
            return;
        }
        let Ok(owner) = first.parse::<OwnerId>() else { return };
        let known = self.known();
        if let Some(place) = known.waiting.get(&owner) {
            place.wake.notify_one();
        } else if let Some(shared) = self.shared.upgrade() {
            // It gave up, and its place was found before that was known; or it holds the lock, lets it go, and has a
            // second place, because a request to stand in line arrived late. The next one need not wait for either.
            // A lock that it holds stays as it is.
            let name = second.to_owned();
            tokio::spawn(async move { shared.decline(owner, name).await });
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! One look at a lock: its key, and the queue.

use lock_core::{Contention, LockKey, LockRecord, OwnerId};

use crate::name::Place;
use crate::record::Record;
use crate::wire::{Entry, LOCK_FLAGS};

/// The keys of one lock at one moment.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) lock: Option<Entry>,
    /// Those with a session are places of waiters, and that of the holder if it waited; first come, first.
    contenders: Vec<Entry>,
}

impl Tree {
    /// Of what a read of the lock's directory gave.
    pub(crate) fn of(place: &Place, entries: Vec<Entry>) -> Self {
        let (mut lock, mut contenders) = (None, Vec::new());
        for entry in entries {
            if entry.key == place.lock {
                lock = Some(entry);
            } else if owner_of(place, &entry).is_some() && entry.flags == LOCK_FLAGS {
                contenders.push(entry);
            }
        }
        // The order in which Consul wrote them down.
        contenders.sort_by_key(|entry| entry.create_index);
        Self { lock, contenders }
    }

    /// The queue alone, of a lock that was let go just now.
    pub(crate) fn of_queue(place: &Place, lock: Entry, queue: Vec<Entry>) -> Self {
        Self { lock: Some(lock), ..Self::of(place, queue) }
    }

    /// Whether the key belongs to somebody who doesn't follow the lock protocol.
    pub(crate) fn is_foreign(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.flags != LOCK_FLAGS)
    }

    pub(crate) fn holder(&self) -> Option<(&Entry, &str)> {
        self.lock.as_ref().and_then(|lock| Some((lock, lock.session()?)))
    }

    /// The places of those whose session lives, the holder's included.
    pub(crate) fn live(&self) -> impl DoubleEndedIterator<Item = (&Entry, &str)> {
        self.contenders.iter().filter_map(|entry| Some((entry, entry.session()?)))
    }

    /// Those who wait.
    pub(crate) fn waiters(&self) -> impl DoubleEndedIterator<Item = (&Entry, &str)> {
        let holder = self.holder().map(|(_, session)| session);
        self.live().filter(move |(_, session)| Some(*session) != holder)
    }

    /// Places that nobody stands in: left by a holder for its successor to see, or by a dead one.
    pub(crate) fn litter(&self) -> impl Iterator<Item = &Entry> {
        self.contenders.iter().filter(|entry| entry.session().is_none())
    }

    pub(crate) fn contender(&self, key: &str) -> Option<&Entry> {
        self.contenders.iter().find(|entry| entry.key == key)
    }

    /// Whom one before this place waits for: the last that lives.
    pub(crate) fn before(&self, place: &Entry) -> Option<&Entry> {
        self.live().map(|(entry, _)| entry).take_while(|entry| entry.create_index < place.create_index).last()
    }

    /// What is told to who isn't granted the lock.
    pub(crate) fn contention(&self, key: &LockKey) -> Contention {
        let waiters = self.waiters().count() as u64;
        let record = match (self.holder(), self.waiters().next()) {
            (Some((lock, _)), _) => Record::read(lock).describe(key, lock, true),
            // Free, and kept for the first who waits.
            (None, Some((first, _))) => Record::read(first).describe(key, first, false),
            (None, None) => LockRecord::unknown(key.clone()),
        };
        Contention::new(record).with_waiters(waiters)
    }
}

fn owner_of(place: &Place, entry: &Entry) -> Option<OwnerId> {
    entry.key.strip_prefix(&place.queue)?.parse().ok()
}

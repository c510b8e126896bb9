//! What a grant or a release told of a lock, and what the next try may do with it.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lock_core::{AcquireRequest, Contention, Grant, LockKey, LockRecord, Timestamp};
use lru::LruCache;

/// So many locks are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// A lock that was granted here, or let go while others wait, is theirs for so long for whoever will wait anyway: it
/// takes its place in the queue, which tells how things are, and saves the look before.
const THEIRS_FOR: Duration = Duration::from_millis(5);

/// How a lock was left.
#[derive(Debug)]
pub(crate) enum Left {
    /// Free, nobody in the queue, its key at this index. The try says so and is refused if that isn't so any more.
    Free { index: u64 },
    /// To others: granted just now in this process, or let go while they wait.
    Theirs { at: Timestamp, contention: Box<Contention> },
}

/// The locks that this process had last.
#[derive(Debug)]
pub(crate) struct Kept(Mutex<LruCache<LockKey, Left>>);

impl Default for Kept {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Kept {
    /// The lock was granted.
    pub(crate) fn note_grant(&self, request: &AcquireRequest, grant: &Grant, at: Timestamp) {
        let record = LockRecord::unknown(request.key().clone())
            .with_grant(request.owner(), grant.token())
            .with_holder(request.holder())
            .with_lease(grant.ttl(), None);
        self.note(request.key(), Left::Theirs { at, contention: Box::new(Contention::new(record)) });
    }

    pub(crate) fn note(&self, key: &LockKey, left: Left) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key.clone(), left);
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&self, key: &LockKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(key);
    }

    /// What a newcomer may do with what is known, if that still helps. That it is free is told once; that it is held
    /// only to one who will wait, since others may have let go meanwhile.
    pub(crate) fn advise(&self, newcomer: &AcquireRequest, now: Timestamp) -> Option<Advice> {
        let key = newcomer.key();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.peek(key)? {
            Left::Theirs { .. } if !newcomer.will_wait() => return None,
            Left::Theirs { at, contention } if now.since(*at) < THEIRS_FOR => {
                return Some(Advice::Held(contention.clone()));
            }
            Left::Free { index } => {
                let index = *index;
                kept.pop(key);
                return Some(Advice::TakeAt(index));
            }
            Left::Theirs { .. } => {}
        }
        kept.pop(key);
        None
    }
}

/// What a newcomer may do.
#[derive(Debug)]
pub(crate) enum Advice {
    /// Try to take it as it was left.
    TakeAt(u64),
    Held(Box<Contention>),
}

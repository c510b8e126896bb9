//! What a release told of a lock, and what the next try may do with it.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lock_core::{Contention, LockKey, Timestamp};
use lru::LruCache;

/// So many locks are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// A lock that was let go while others wait is theirs for so long, as far as this process is concerned: it doesn't
/// ask the agent whether that is still so.
const THEIRS_FOR: Duration = Duration::from_millis(5);

/// How a lock was left.
#[derive(Debug, Clone)]
pub(crate) enum Left {
    /// Free, nobody in the queue, its key at this index. The try says so and is refused if that isn't so any more.
    Free { index: u64 },
    /// To those who wait.
    ToWaiters { at: Timestamp, contention: Contention },
}

/// The locks that this process released last.
#[derive(Debug)]
pub(crate) struct Kept(Mutex<LruCache<LockKey, Left>>);

impl Default for Kept {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Kept {
    pub(crate) fn note(&self, key: &LockKey, left: Left) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key.clone(), left);
    }

    /// How the lock was left, if that still helps. Free is told once.
    pub(crate) fn take(&self, key: &LockKey, now: Timestamp) -> Option<Left> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left @ Left::ToWaiters { at, .. }) = kept.peek(key)
            && now.since(*at) < THEIRS_FOR
        {
            return Some(left.clone());
        }
        kept.pop(key).filter(|left| matches!(left, Left::Free { .. }))
    }
}

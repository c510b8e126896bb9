//! Where a release left a lock free: the next acquire takes it there, without a look.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lock_core::LockKey;
use lru::LruCache;

/// So many locks are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The locks that this process let go last while nobody waited, each with the index of its key. Whoever takes one there
/// is refused if anybody had it since: what is remembered costs a request at worst, and decides nothing.
#[derive(Debug)]
pub(crate) struct Kept(Mutex<LruCache<LockKey, u64>>);

impl Default for Kept {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Kept {
    pub(crate) fn left_free(&self, key: &LockKey, index: u64) {
        self.lock().put(key.clone(), index);
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&self, key: &LockKey) {
        self.lock().pop(key);
    }

    /// The index at which the lock was left free. Told once.
    pub(crate) fn free_at(&self, key: &LockKey) -> Option<u64> {
        self.lock().pop(key)
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<LockKey, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

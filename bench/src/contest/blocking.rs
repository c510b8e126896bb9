//! Locks that block a thread, as an async program has to use them.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;

use super::{Client, Held, Place};

/// A lock whose calls block.
pub(crate) trait BlockingLock: Send + Sync + 'static {
    type Guard: Send + 'static;

    /// `None`: somebody else has it.
    fn try_lock(&self, key: &str) -> Result<Option<Self::Guard>>;

    fn lock(&self, key: &str) -> Result<Self::Guard>;
}

/// Tries on the calling task's thread, and waits on a thread for blocking work.
pub(crate) struct Blocking<L> {
    lock: Arc<L>,
    alone: bool,
}

impl<L: BlockingLock> Blocking<L> {
    pub(crate) fn client(lock: L, place: &Place) -> Arc<dyn Client> {
        Arc::new(Self { lock: Arc::new(lock), alone: place.alone })
    }
}

#[async_trait]
impl<L: BlockingLock> Client for Blocking<L> {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        if self.alone {
            return Ok(Box::new(Guarded(self.lock.lock(key)?)));
        }
        if let Some(guard) = self.lock.try_lock(key)? {
            return Ok(Box::new(Guarded(guard)));
        }
        let (lock, key) = (self.lock.clone(), key.to_owned());
        Ok(Box::new(Guarded(tokio::task::spawn_blocking(move || lock.lock(&key)).await??)))
    }
}

struct Guarded<G>(G);

#[async_trait]
impl<G: Send + 'static> Held for Guarded<G> {
    async fn release(self: Box<Self>) -> Result<()> {
        drop(self.0);
        Ok(())
    }
}

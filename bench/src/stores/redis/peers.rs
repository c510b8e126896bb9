//! Other crates that lock on Redis.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use distributed_lock_core::{DistributedLock as _, LockError, LockHandle as _, LockProvider as _};
use distributed_lock_redis::{RedisLockHandle, RedisLockProvider};
use redlock::RedLock;
use rslock::LockManager;

use crate::contest::{Client, Contestant, Held, Kind, Lack, Place, Role, Way};

pub(crate) fn contestants() -> Vec<Contestant> {
    const NOT_RENEWED: &[(Kind, &str)] = &[(Kind::Heartbeats, "nothing is renewed")];
    let peer = |name, lacks, note, way, skips| Contestant { name, role: Role::Peer, lacks, note, way, skips };
    vec![
        peer(
            "rslock",
            &[Lack::Token, Lack::Metadata, Lack::Renewal, Lack::LossNotice, Lack::WakeUp, Lack::Order],
            "asks again after up to 200 ms, its default",
            Way::Client(|place| Box::pin(async move { Ok(Arc::new(Rslock::new(&place)) as Arc<dyn Client>) })),
            NOT_RENEWED,
        ),
        peer(
            "redlock",
            &[
                Lack::Token,
                Lack::Metadata,
                Lack::Renewal,
                Lack::LossNotice,
                Lack::WakeUp,
                Lack::Order,
                Lack::AsyncWaiting,
            ],
            "a new connection for each call; sleeps up to 200 ms between tries, its default",
            Way::Client(|place| {
                Box::pin(async move {
                    let lock = Arc::new(RedLock::new(vec![place.url.as_str()]));
                    let (ttl_ms, alone) = (usize::try_from(place.ttl_ms)?, place.alone);
                    Ok(Arc::new(Redlock { lock, ttl_ms, alone }) as Arc<dyn Client>)
                })
            }),
            NOT_RENEWED,
        ),
        peer(
            "distributed-lock (redis)",
            &[Lack::Token, Lack::Metadata, Lack::WakeUp, Lack::Order],
            "on the driver fred; its acquire doesn't wait for a lock that is held: asked again after 10 ms",
            Way::Client(|place| {
                Box::pin(async move {
                    let ttl = place.ttl();
                    let provider = RedisLockProvider::builder().url(&place.url).expiry(ttl);
                    let provider = provider.min_validity(ttl * 9 / 10).extension_cadence(ttl / 3).build().await?;
                    Ok(Arc::new(Distributed(provider)) as Arc<dyn Client>)
                })
            }),
            &[],
        ),
    ]
}

struct Rslock {
    manager: LockManager,
    ttl: Duration,
}

impl Rslock {
    fn new(place: &Place) -> Self {
        Self { manager: LockManager::new(vec![place.url.as_str()]), ttl: place.ttl() }
    }
}

#[async_trait]
impl Client for Rslock {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        Ok(Box::new(RslockHeld(self.manager.acquire(key.as_bytes(), self.ttl).await?)))
    }
}

struct RslockHeld(rslock::LockGuard);

#[async_trait]
impl Held for RslockHeld {
    async fn release(self: Box<Self>) -> Result<()> {
        self.0.release().await;
        Ok(())
    }
}

/// Blocks its thread, for the network and for sleep.
struct Redlock {
    lock: Arc<RedLock>,
    ttl_ms: usize,
    alone: bool,
}

struct RedlockHeld {
    lock: Arc<RedLock>,
    resource: Vec<u8>,
    value: Vec<u8>,
    alone: bool,
}

/// On a thread for blocking work, unless nothing else wants this one.
async fn blocking<T: Send + 'static>(alone: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if alone { Ok(work()) } else { Ok(tokio::task::spawn_blocking(work).await?) }
}

#[async_trait]
impl Client for Redlock {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let (lock, resource, ttl_ms) = (self.lock.clone(), key.as_bytes().to_vec(), self.ttl_ms);
        let acquire = move || loop {
            match lock.lock(&resource, ttl_ms) {
                Ok(None) => {}
                Ok(Some(held)) => return Ok(held.val),
                Err(error) => return Err(error),
            }
        };
        let value = blocking(self.alone, acquire).await??;
        Ok(Box::new(RedlockHeld { lock: self.lock.clone(), resource: key.into(), value, alone: self.alone }))
    }
}

#[async_trait]
impl Held for RedlockHeld {
    async fn release(self: Box<Self>) -> Result<()> {
        let Self { lock, resource, value, alone } = *self;
        let unlock =
            move || lock.unlock(&redlock::Lock { resource, val: value, validity_time: 0, lock_manager: &lock });
        blocking(alone, unlock).await
    }
}

struct Distributed(RedisLockProvider);

#[async_trait]
impl Client for Distributed {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let lock = self.0.create_lock(key);
        loop {
            match lock.acquire(None).await {
                Ok(held) => return Ok(Box::new(DistributedHeld(held))),
                // Its acquire doesn't wait, though it says so.
                Err(LockError::Timeout(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

struct DistributedHeld(RedisLockHandle);

#[async_trait]
impl Held for DistributedHeld {
    async fn release(self: Box<Self>) -> Result<()> {
        Ok(self.0.release().await?)
    }
}

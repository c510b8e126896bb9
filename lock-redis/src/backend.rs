//! The backend: what it can do, and the five calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Contention, Fairness, Lease, LeaseClock, LockBackend,
    Release, Renewal, Scope, TokenDurability, Ttl, WakeUp,
};

use crate::shared::Shared;
use crate::wait;

/// Locks on a Redis or Valkey server. See the crate's page.
///
/// Made by [`RedisBackend::server`], [`RedisBackend::sentinel`] or [`RedisBackend::cluster`]. It has one connection
/// for commands and messages, which all calls share; it is made anew when it breaks.
pub struct RedisBackend {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("names", &self.shared.names).finish_non_exhaustive()
    }
}

/// What a Redis server can do.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::new("redis")
        // A shorter lease would be over before its grant is told.
        .with_ttl_range(Duration::from_millis(10), Ttl::MAX, Duration::from_millis(1))
        .with_tokens(TokenDurability::DataLoss)
        .with_wake_up(WakeUp::Notified, wait::WITHIN)
        .with_fairness(Fairness::Queue)
        .with_scope(Scope::Network)
        .with_lease_clock(LeaseClock::Boot)
}

#[async_trait]
impl LockBackend for RedisBackend {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        self.shared.try_acquire(request).await
    }

    /// Dropping this future keeps the place in the queue, until `release` withdraws it.
    async fn wait(&self, request: &AcquireRequest, seen: &Contention) -> Result<(), BackendError> {
        let ttl = capabilities().grantable(request.ttl()).map_err(|error| error.with_key(request.key()))?;
        self.shared.wait(request, ttl, seen).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        self.shared.renew(lease).await
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        self.shared.release(claim).await
    }
}

//! The backend: what all calls share, and the five calls.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Clock as _, Contention, Fairness, Lease, LeaseClock,
    LockBackend, Release, Renewal, Scope, SystemClock, Timestamp, TokenDurability, WakeUp,
};

use crate::api::Api;
use crate::builder::ConsulBackendBuilder;
use crate::kept::Kept;
use crate::owners::Owners;
use crate::session::Idle;
use crate::wait::FALLBACK;
use crate::watch::Watches;
use crate::watched::Watched;

/// The shortest TTL of a session.
pub(crate) const MIN_TTL: Duration = Duration::from_secs(10);
/// The longest.
pub(crate) const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// Locks in the key/value store of Consul. See the crate's page.
#[derive(Clone)]
pub struct ConsulBackend {
    pub(crate) shared: Arc<Shared>,
}

/// What all calls of one backend share.
pub(crate) struct Shared {
    pub(crate) api: Arc<Api>,
    pub(crate) prefix: String,
    pub(crate) lock_delay: Duration,
    /// How many waiters here stand before a lock in its lock-delay.
    pub(crate) shut: AtomicU32,
    pub(crate) session_name: String,
    /// Counts while the host is suspended, as Consul does.
    pub(crate) clock: SystemClock,
    pub(crate) owners: Owners,
    pub(crate) idle: Idle,
    pub(crate) kept: Kept,
    pub(crate) watches: Watches,
    pub(crate) watched: Watched,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl ConsulBackend {
    /// A backend that asks the agent at `address`, such as `http://127.0.0.1:8500`, with the usual settings.
    ///
    /// # Errors
    /// [`BackendError`] of kind `InvalidConfiguration` when that is no address.
    pub fn new(address: impl Into<String>) -> Result<Self, BackendError> {
        Self::builder(address).build()
    }

    /// Settings other than the usual ones, for the agent at `address`: `http://HOST:PORT` or `https://HOST:PORT`.
    pub fn builder(address: impl Into<String>) -> ConsulBackendBuilder {
        ConsulBackendBuilder::new(address.into())
    }
}

impl std::fmt::Debug for ConsulBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsulBackend")
            .field("agent", &self.shared.api.base)
            .field("prefix", &self.shared.prefix)
            .finish_non_exhaustive()
    }
}

pub(crate) fn capabilities(lock_delay: Duration) -> Capabilities {
    Capabilities::new("consul")
        .with_ttl_range(MIN_TTL, MAX_TTL, Duration::from_millis(1))
        .with_tokens(TokenDurability::Restart)
        .with_wake_up(WakeUp::Notified, FALLBACK + lock_delay)
        .with_fairness(Fairness::Queue)
        .with_scope(Scope::Network)
        .with_lease_clock(LeaseClock::Boot)
}

#[async_trait]
impl LockBackend for ConsulBackend {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.shared.lock_delay)
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        self.shared.try_acquire(request).await
    }

    /// Dropping this future keeps the place in the queue, until `release` withdraws it or its session's TTL is over.
    async fn wait(&self, request: &AcquireRequest, _seen: &Contention) -> Result<(), BackendError> {
        self.shared.wait(request).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        self.shared.renew(lease).await
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        self.shared.release(claim).await
    }
}

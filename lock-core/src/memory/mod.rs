//! A store in this process's memory.

mod queue;
mod store;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::store::{Outlook, Store};
use crate::{
    AcquireRequest, Attempt, BackendError, BreakOutcome, Capabilities, Claim, Contention, Fairness, FencingToken,
    Finding, Lease, LeaseClock, LockAdmin, LockBackend, LockKey, LockRecord, OwnerId, Release, Renewal, Scope,
    TokenDurability, Ttl, WakeUp,
};

/// Locks in this process's memory: for unit tests of programs that take locks, and for simulations.
///
/// It has every property that a store can have (a queue of waiters served in their order, a wake-up
/// at the release, any TTL) except that its locks reach no other process and end with this one.
///
/// A clone is another client of the same store; [`MemoryBackend::new`] makes a new, empty store.
///
/// Time is tokio's: under `tokio::time::pause()` leases expire when the test says so. [`LockBackend::wait`]
/// therefore needs a tokio runtime with its timer enabled; the other calls need no runtime.
///
/// # The queue
/// A freed lock is reserved for the first waiter for 100 ms, and then for the next. A waiter whose
/// [`LockBackend::wait`] is under way is live; one that began no new `wait` for 100 ms has given up.
#[derive(Debug, Clone, Default)]
pub struct MemoryBackend {
    store: Arc<Store>,
}

/// How long a freed lock is kept for the first waiter, and a waiter that isn't waiting keeps its place.
///
/// Long enough for a loaded machine to run a task that was woken. It is hardly ever paid in full: who gives up
/// waiting releases, which withdraws the place at once.
const GRACE: Duration = Duration::from_millis(100);

impl MemoryBackend {
    /// A client of a new, empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl LockBackend for MemoryBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("memory")
            .with_ttl_range(Ttl::MIN, Ttl::MAX, Duration::from_millis(1))
            .with_tokens(TokenDurability::Process)
            .with_wake_up(WakeUp::Notified, GRACE)
            .with_fairness(Fairness::Queue)
            .with_scope(Scope::Process)
            .with_lease_clock(LeaseClock::Monotonic)
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = self.capabilities().grantable(request.ttl()).map_err(|error| error.with_key(request.key()))?;
        Ok(self.store.try_acquire(request, ttl, Instant::now()))
    }

    async fn wait(&self, request: &AcquireRequest, _seen: &Contention) -> Result<(), BackendError> {
        let Some(wake) = self.store.join(request, Instant::now()) else { return Ok(()) };
        let place = Waiting { store: &self.store, key: request.key(), owner: request.owner(), wake };
        loop {
            match self.store.outlook(request, Instant::now()) {
                Outlook::Try => return Ok(()),
                Outlook::NotBefore(moment) => tokio::select! {
                    () = place.wake.notified() => {}
                    () = sleep_until(moment) => {}
                },
            }
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        Ok(self.store.renew(lease, Instant::now()))
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        Ok(self.store.release(claim, Instant::now()))
    }
}

#[async_trait]
impl LockAdmin for MemoryBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError> {
        Ok(self.store.inspect(key, Instant::now()))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        Ok(self.store.list(prefix, Instant::now()))
    }

    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError> {
        Ok(self.store.break_lock(key, if_token, Instant::now()))
    }

    async fn preflight(&self) -> Vec<Finding> {
        vec![Finding::good("memory", "locks are kept in this process's memory, for this process alone")]
    }
}

/// A `wait` under way. Its end, whichever way, is told to the store: from then on the place is on borrowed time.
struct Waiting<'a> {
    store: &'a Store,
    key: &'a LockKey,
    owner: OwnerId,
    wake: Arc<Notify>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.store.step_away(self.key, self.owner, Instant::now());
    }
}

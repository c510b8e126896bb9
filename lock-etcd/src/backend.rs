//! The backend, and the five calls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Clock as _, Contention, Fairness, Lease, LeaseClock,
    LockBackend, LockKey, Release, Renewal, Scope, SystemClock, Timestamp, TokenDurability, Ttl, WakeUp,
};
use lru::LruCache;
use tokio::runtime::{Handle, Id};

use crate::builder::EtcdBackendBuilder;
use crate::group::Groups;
use crate::leases::Leases;
use crate::names::Queue;
use crate::owners::Owners;
use crate::session::Session;

/// A waiter whose watch went silent looks by itself after this.
pub(crate) const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// How many locks are remembered as held by somebody else.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// How long a lock counts as contended after somebody else was seen to hold it.
const CONTENDED_FOR: Duration = Duration::from_secs(10);

/// Locks in etcd. See the crate's page.
pub struct EtcdBackend {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: Arc<EtcdBackendBuilder>,
    pub(crate) owners: Owners,
    pub(crate) groups: Groups,
    pub(crate) leases: Leases,
    /// When locks were last seen to be held by somebody else: for a while it pays to look before asking.
    contended: Mutex<LruCache<LockKey, Instant>>,
    sessions: Mutex<HashMap<Id, Arc<Session>>>,
    /// How many began, to do now and then what is done seldom.
    pub(crate) acquisitions: AtomicU32,
}

impl EtcdBackend {
    /// A backend on these endpoints, each as `HOST:PORT`. No connection is made yet.
    ///
    /// # Errors
    /// [`BackendError`] of kind `InvalidConfiguration` for an endpoint that is none.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, BackendError> {
        Self::builder(endpoints).build()
    }

    /// Settings other than the usual ones.
    pub fn builder(endpoints: impl IntoIterator<Item = impl Into<String>>) -> EtcdBackendBuilder {
        EtcdBackendBuilder::new(endpoints.into_iter().map(Into::into).collect())
    }

    pub(crate) fn with(settings: EtcdBackendBuilder) -> Self {
        let shared = Shared {
            settings: Arc::new(settings),
            owners: Owners::default(),
            groups: Groups::default(),
            leases: Leases::default(),
            contended: Mutex::new(LruCache::new(REMEMBERED)),
            sessions: Mutex::default(),
            acquisitions: AtomicU32::new(0),
        };
        Self { shared: Arc::new(shared) }
    }
}

/// The time by the clock that leases are counted by: it runs on while this host is suspended, as the server's does.
pub(crate) fn now() -> Timestamp {
    SystemClock::new(LeaseClock::Boot).now()
}

impl Shared {
    pub(crate) fn queue(&self, key: &LockKey) -> Queue {
        Queue::of(&self.settings.prefix, key)
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities::new("etcd")
            .with_ttl_range(self.settings.min_ttl, Ttl::MAX, Duration::from_secs(1))
            .with_tokens(TokenDurability::Restart)
            .with_wake_up(WakeUp::Notified, LOOK_ANYWAY + Duration::from_secs(2))
            .with_fairness(Fairness::Queue)
            .with_scope(Scope::Network)
            .with_lease_clock(LeaseClock::Boot)
    }

    /// The connections of the runtime that this is called on.
    pub(crate) fn session(self: &Arc<Self>) -> Arc<Session> {
        let runtime = Handle::current();
        let (session, is_new) = match self.sessions().entry(runtime.id()) {
            Entry::Occupied(there) => (there.get().clone(), false),
            Entry::Vacant(place) => (place.insert(Arc::new(Session::new(self.settings.clone()))).clone(), true),
        };
        // Not under the lock: a runtime that is shutting down drops the task here and now, and the task takes the lock.
        if is_new {
            runtime.spawn(until_the_runtime_ends(EndOfRuntime(Arc::downgrade(self), runtime.id())));
        }
        session
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Id, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember_contended(&self, key: &LockKey) {
        self.contended().put(key.clone(), Instant::now());
    }

    pub(crate) fn forget_contended(&self, key: &LockKey) {
        self.contended().pop(key);
    }

    pub(crate) fn is_contended(&self, key: &LockKey) -> bool {
        self.contended().peek(key).is_some_and(|seen| seen.elapsed() < CONTENDED_FOR)
    }

    fn contended(&self) -> MutexGuard<'_, LruCache<LockKey, Instant>> {
        self.contended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped with the runtime that it lives on: its connections are of no use to another.
struct EndOfRuntime(Weak<Shared>, Id);

impl Drop for EndOfRuntime {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            let session = shared.sessions().remove(&self.1);
            drop(session);
        }
    }
}

/// Ends when the backend is gone, too, so that no runtime collects them.
async fn until_the_runtime_ends(end: EndOfRuntime) {
    while end.0.strong_count() > 0 {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

/// Every call may be dropped at any time; what it sent may be applied all the same. `release` undoes it, and makes sure
/// that what is still on its way comes to nothing.
#[async_trait]
impl LockBackend for EtcdBackend {
    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        self.shared.try_acquire(request).await
    }

    /// Dropping this future keeps the place in the queue, until `release` withdraws it or its TTL is over.
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

impl fmt::Debug for EtcdBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EtcdBackend").field(&self.shared.settings).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn runtime_that_is_shutting_down_blocks_nobody() {
        let shared = EtcdBackend::new(["127.0.0.1:1"]).unwrap().shared.clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let (tell, told) = mpsc::channel();
        let (asks, on) = (shared.clone(), handle);
        std::thread::spawn(move || {
            let _on = on.enter();
            drop(asks.session());
            tell.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_secs(5)).expect("blocked by its own lock");
        assert!(shared.sessions().is_empty(), "it ended with its runtime");
    }
}

//! The supervisor: hands out locks of one backend, and keeps them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Limits};
use crate::heartbeat::{Heartbeat, Thread};
use crate::queue::LocalQueues;
use crate::telemetry::Telemetry;
use crate::{
    Capabilities, Clock, FencingToken, InvalidKey, LockBackend, LockKey, LockRequest, LossHint, LostReason, SystemClock,
};

/// Hands out locks of one backend, and keeps them until they are released or lost.
///
/// Cheap to clone; clones are the same supervisor. Make one a process and backend: the order of
/// waiters, the greatest tokens seen and the heartbeats are known to one supervisor only.
///
/// When the last clone is dropped, guards still out are kept on until they are dropped as well.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lock_core::{MemoryBackend, Supervisor};
///
/// let locks = Supervisor::new(MemoryBackend::new());
/// let guard = locks.lock("reports/nightly").acquire().await?;
/// println!("token {}", guard.fencing_token());
/// guard.release().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Supervisor(Arc<Handle>);

/// What is dropped with the last clone of a supervisor.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.heartbeat.close();
    }
}

pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) queues: Arc<LocalQueues>,
    pub(crate) closed: CancellationToken,
    loss_hint: LossHint,
    thread: Thread,
    /// The greatest token seen of each key, of as many keys as are remembered.
    greatest: Mutex<LruCache<LockKey, FencingToken>>,
    acquiring: AtomicUsize,
    acquired: Notify,
}

/// What a shutdown left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "locks that were not released in time stay taken for up to their TTL"]
pub struct ShutdownReport {
    unreleased: usize,
}

impl ShutdownReport {
    /// Whether everything was released in time.
    pub fn is_clean(self) -> bool {
        self.unreleased == 0
    }

    /// How many releases failed or were not done in time. Those locks free themselves after their TTL.
    pub fn unreleased(self) -> usize {
        self.unreleased
    }
}

impl Supervisor {
    /// A supervisor over `backend` with the defaults of [`SupervisorBuilder`].
    pub fn new(backend: impl LockBackend) -> Self {
        Self::builder(Arc::new(backend)).build()
    }

    /// A supervisor over a shared backend, with other limits or another clock.
    pub fn builder(backend: Arc<dyn LockBackend>) -> SupervisorBuilder {
        let limits = Limits {
            call: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            wait_patience: Duration::from_secs(60),
            calls_at_once: 1024,
            shutdown: Duration::from_secs(5),
        };
        SupervisorBuilder { backend, clock: None, limits, thread: Thread::Callers, remembered_keys: 16_384 }
    }

    /// Begins to ask for the lock `key`. An invalid key is told when the lock is acquired.
    pub fn lock<K>(&self, key: K) -> LockRequest
    where
        K: TryInto<LockKey>,
        K::Error: Into<InvalidKey>,
    {
        LockRequest::new(self.clone(), key.try_into().map_err(Into::into))
    }

    /// What the backend can do.
    pub fn capabilities(&self) -> Capabilities {
        self.shared().context.backend.capabilities()
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn LockBackend> {
        &self.shared().context.backend
    }

    /// Releases every lock held and ends every acquire under way, within the limit set by
    /// [`SupervisorBuilder::shutdown_within`]. Guards still out become lost. No lock is granted
    /// after this was called. May be called again.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the releases go on as long as the runtime does.
    pub async fn shutdown(&self) -> ShutdownReport {
        let shared = self.shared();
        let failed_before = shared.heartbeat.failed();
        shared.closed.cancel();
        shared.heartbeat.let_everything_go(&LostReason::ShutDown);
        shared.heartbeat.ensure_running(shared.thread);
        let all_done = async {
            shared.nobody_acquires().await;
            shared.heartbeat.nothing_to_release().await;
        };
        let _ = tokio::time::timeout(shared.context.limits.shutdown, all_done).await;
        let failed = shared.heartbeat.failed() - failed_before;
        let pending = shared.heartbeat.unreleased() + shared.acquiring.load(Ordering::Acquire);
        ShutdownReport { unreleased: failed + pending }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("capabilities", &self.capabilities()).finish_non_exhaustive()
    }
}

/// Sets a supervisor's limits; made by [`Supervisor::builder`].
#[must_use]
pub struct SupervisorBuilder {
    backend: Arc<dyn LockBackend>,
    clock: Option<Arc<dyn Clock>>,
    limits: Limits,
    thread: Thread,
    remembered_keys: usize,
}

impl SupervisorBuilder {
    /// Another clock, for tests. Default: the system's, of the kind that the backend declares.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long one call to the store may take. Default: 2 s.
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.limits.call = limit;
        self
    }

    /// How long calls may fail one after the other before an acquire gives up. Default: 5 s. Who waits in line gives up
    /// later: see [`wait_patience`](Self::wait_patience).
    pub fn patience(mut self, limit: Duration) -> Self {
        self.limits.patience = limit;
        self
    }

    /// The same for an acquire that the store has told to wait, and for those behind it in this process: a failover or a
    /// restart of the store shouldn't end them. Default: 60 s, and never shorter than the patience. An acquire's own
    /// limit ([`LockRequest::wait_at_most`]) holds all the same.
    pub fn wait_patience(mut self, limit: Duration) -> Self {
        self.limits.wait_patience = limit;
        self
    }

    /// How many renewals (and, apart from them, releases) may be under way at once. Default: 1024.
    pub fn calls_at_once(mut self, number: usize) -> Self {
        self.limits.calls_at_once = number.max(1);
        self
    }

    /// How long a shutdown may take. Default: 5 s.
    pub fn shutdown_within(mut self, limit: Duration) -> Self {
        self.limits.shutdown = limit;
        self
    }

    /// Keeps the heartbeats on a thread of their own, so that a program which blocks its runtime
    /// keeps its locks. By default they run on the runtime of whoever acquires first, so that a
    /// program which hangs loses its locks, as it should.
    pub fn dedicated_thread(mut self) -> Self {
        self.thread = Thread::Dedicated;
        self
    }

    /// The supervisor.
    #[expect(clippy::missing_panics_doc, reason = "the number of remembered keys is a constant above zero")]
    pub fn build(self) -> Supervisor {
        let capabilities = self.backend.capabilities();
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new(capabilities.lease_clock())));
        let telemetry = Telemetry::new(capabilities.name());
        let context = Arc::new(Context { backend: self.backend, clock, limits: self.limits, telemetry });
        let heartbeat = Arc::new(Heartbeat::new(context.clone()));
        let loss_hint = {
            // Weak: a backend keeps hints, and must not keep the supervisor that has it.
            let heartbeat = Arc::downgrade(&heartbeat);
            LossHint::new(move |owner| heartbeat.upgrade().into_iter().for_each(|heartbeat| heartbeat.hint(owner)))
        };
        let remembered = self.remembered_keys.try_into().expect("a number above zero");
        Supervisor(Arc::new(Handle(Arc::new(Shared {
            context,
            heartbeat,
            queues: Arc::default(),
            closed: CancellationToken::new(),
            loss_hint,
            thread: self.thread,
            greatest: Mutex::new(LruCache::new(remembered)),
            acquiring: AtomicUsize::new(0),
            acquired: Notify::new(),
        }))))
    }
}

impl Shared {
    pub(crate) fn loss_hint(&self) -> LossHint {
        self.loss_hint.clone()
    }

    pub(crate) fn ensure_heartbeat(&self) {
        self.heartbeat.ensure_running(self.thread);
    }

    /// Takes note of a granted token. `Err` with a token seen before that is as great or greater.
    pub(crate) fn note_token(&self, key: &LockKey, token: FencingToken) -> Result<(), FencingToken> {
        let mut greatest = self.greatest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = greatest.get_mut(key) {
            if token <= *seen {
                return Err(*seen);
            }
            *seen = token;
        } else {
            greatest.put(key.clone(), token);
        }
        Ok(())
    }

    /// Counts an acquire as under way, until the answer is dropped.
    pub(crate) fn acquiring(self: &Arc<Self>) -> Acquiring {
        self.acquiring.fetch_add(1, Ordering::AcqRel);
        Acquiring(self.clone())
    }

    async fn nobody_acquires(&self) {
        loop {
            let acquired = self.acquired.notified();
            if self.acquiring.load(Ordering::Acquire) == 0 {
                return;
            }
            acquired.await;
        }
    }
}

/// One acquire under way.
pub(crate) struct Acquiring(Arc<Shared>);

impl Drop for Acquiring {
    fn drop(&mut self) {
        if self.0.acquiring.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.acquired.notify_waiters();
        }
    }
}

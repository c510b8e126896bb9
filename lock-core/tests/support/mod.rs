//! A backend that fails on demand, over the memory backend.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Contention, ErrorKind, FencingToken, Lease,
    LockBackend, LockKey, LossHint, ManualClock, MemoryBackend, Operation, Outcome, OwnerId, Release, Renewal,
    Supervisor, SupervisorBuilder, async_trait,
};
use tokio::time::{Instant, sleep};

pub const TTL: Duration = Duration::from_secs(15);

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection is refused: nothing was sent.
    Refuse,
    /// An error that no retry can mend.
    Deny,
    /// The store does it, and the reply is lost.
    LoseReply,
    /// The backend has a bug.
    Panic,
    /// The backend blocks its thread, and then does it.
    Block(Duration),
    /// The request is lost and no error comes.
    Hang,
    /// The store does it at once, and the reply comes late.
    DelayReply(Duration),
    /// The request reaches the store late, even if the caller has given up by then.
    ApplyLate(Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub at: Instant,
    pub operation: Operation,
    pub key: String,
    pub owner: OwnerId,
}

type Rule = dyn FnMut(&Call, usize) -> Fault + Send;

/// A memory backend whose calls go wrong as a rule says: told the call and how many of its
/// operation came before.
#[derive(Clone)]
pub struct Faulty {
    pub store: MemoryBackend,
    capabilities: Capabilities,
    rule: Arc<Mutex<Box<Rule>>>,
    calls: Arc<Mutex<Vec<Call>>>,
    tokens: Arc<Mutex<Option<u64>>>,
    first_lease: Option<Duration>,
}

impl Faulty {
    pub fn new(rule: impl FnMut(&Call, usize) -> Fault + Send + 'static) -> Self {
        let store = MemoryBackend::new();
        Self {
            capabilities: store.capabilities(),
            store,
            rule: Arc::new(Mutex::new(Box::new(rule))),
            calls: Arc::default(),
            tokens: Arc::default(),
            first_lease: None,
        }
    }

    pub fn healthy() -> Self {
        Self::new(|_, _| Fault::None)
    }

    pub fn with_capabilities(mut self, change: impl FnOnce(Capabilities) -> Capabilities) -> Self {
        self.capabilities = change(self.capabilities);
        self
    }

    /// Every grant lives only this long, unless it is renewed.
    pub fn with_first_lease(mut self, lives: Duration) -> Self {
        self.first_lease = Some(lives);
        self
    }

    pub fn set_rule(&self, rule: impl FnMut(&Call, usize) -> Fault + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// From now on every grant has this token, as of a store restored from a backup.
    pub fn set_token(&self, token: u64) {
        *self.tokens.lock().unwrap() = Some(token);
    }

    pub fn calls(&self, operation: Operation) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.operation == operation).cloned().collect()
    }

    pub fn supervisor(&self) -> SupervisorBuilder {
        Supervisor::builder(Arc::new(self.clone())).clock(Arc::new(ManualClock::new()))
    }

    pub async fn is_free(&self, key: &str) -> bool {
        use lock_core::LockAdmin;
        self.store.inspect(&LockKey::new(key).unwrap()).await.unwrap().is_none()
    }

    async fn disturb<T: Send + 'static>(
        &self,
        operation: Operation,
        claim: Claim,
        call: impl Future<Output = Result<T, BackendError>> + Send + 'static,
    ) -> Result<T, BackendError> {
        let this = Call { at: Instant::now(), operation, key: claim.key().as_str().to_owned(), owner: claim.owner() };
        let before = self.calls(operation).len();
        self.calls.lock().unwrap().push(this.clone());
        let fault = (self.rule.lock().unwrap())(&this, before);
        match fault {
            Fault::None => call.await,
            Fault::Refuse => Err(BackendError::new(ErrorKind::Unavailable, operation, "connection refused")
                .with_outcome(Outcome::NotApplied)),
            Fault::Deny => Err(BackendError::new(ErrorKind::PermissionDenied, operation, "not allowed")),
            Fault::LoseReply => {
                call.await?;
                Err(BackendError::new(ErrorKind::Unavailable, operation, "connection reset"))
            }
            Fault::Panic => panic!("in the backend"),
            Fault::Block(time) => {
                std::thread::sleep(time);
                call.await
            }
            Fault::Hang => std::future::pending().await,
            Fault::DelayReply(delay) => {
                let answer = call.await;
                sleep(delay).await;
                answer
            }
            Fault::ApplyLate(delay) => {
                let late = async move {
                    sleep(delay).await;
                    call.await
                };
                tokio::spawn(late).await.unwrap()
            }
        }
    }
}

#[async_trait]
impl LockBackend for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let (store, asked) = (self.store.clone(), request.clone());
        let call = async move { store.try_acquire(&asked).await };
        let attempt = self.disturb(Operation::Acquire, request.claim(), call).await?;
        let forced = *self.tokens.lock().unwrap();
        Ok(match (attempt, forced) {
            (Attempt::Granted(grant), Some(token)) => {
                Attempt::Granted(lock_core::Grant::new(FencingToken::new(token), grant.ttl()))
            }
            (Attempt::Granted(grant), None) => {
                let lives = self.first_lease.unwrap_or(grant.ttl().get());
                Attempt::Granted(grant.with_first_lease(lives))
            }
            (held, _) => held,
        })
    }

    async fn wait(&self, request: &AcquireRequest, seen: &Contention) -> Result<(), BackendError> {
        let (store, asked, seen) = (self.store.clone(), request.clone(), seen.clone());
        self.disturb(Operation::Wait, request.claim(), async move { store.wait(&asked, &seen).await }).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        let (store, renewed) = (self.store.clone(), lease.clone());
        self.disturb(Operation::Renew, lease.claim().clone(), async move { store.renew(&renewed).await }).await
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        let (store, released) = (self.store.clone(), claim.clone());
        self.disturb(Operation::Release, claim.clone(), async move { store.release(&released).await }).await
    }
}

/// Keeps the loss hint of the last request, as a backend that watches held keys would.
pub struct Hinting {
    pub inner: Faulty,
    pub hint: Arc<Mutex<Option<(LossHint, OwnerId)>>>,
}

#[async_trait]
impl LockBackend for Hinting {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        *self.hint.lock().unwrap() = Some((request.loss_hint().clone(), request.owner()));
        self.inner.try_acquire(request).await
    }
    async fn wait(&self, request: &AcquireRequest, seen: &Contention) -> Result<(), BackendError> {
        self.inner.wait(request, seen).await
    }
    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        self.inner.renew(lease).await
    }
    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        self.inner.release(claim).await
    }
}

/// A store at which everything is held by others, and whose waits end at once. Rule 3 allows it.
pub struct Restless;

#[async_trait]
impl LockBackend for Restless {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("restless")
    }
    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        Ok(Attempt::Held(Contention::new(lock_core::LockRecord::unknown(request.key().clone()))))
    }
    async fn wait(&self, _: &AcquireRequest, _: &Contention) -> Result<(), BackendError> {
        Ok(())
    }
    async fn renew(&self, _: &Lease) -> Result<Renewal, BackendError> {
        Ok(Renewal::Lost)
    }
    async fn release(&self, _: &Claim) -> Result<Release, BackendError> {
        Ok(Release::NotHeld)
    }
}

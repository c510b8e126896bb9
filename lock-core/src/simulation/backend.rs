//! The simulated store as a client sees it: every call is a request on the network.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::clock::HostClock;
use super::history::{History, What};
use super::message::{Answer, Outbox, ReplyTo, Request, Sent};
use crate::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Contention, Fairness, Lease, LeaseClock, LockBackend,
    Operation, Release, Renewal, Scope, TokenDurability, WakeUp,
};

/// A waiter asks again after this long, should its notification have been lost.
const FALLBACK: Duration = Duration::from_secs(1);

/// One client's way to the simulated store.
pub(super) struct SimulatedBackend {
    pub(super) outbox: Outbox,
    pub(super) clock: HostClock,
    pub(super) client: usize,
    pub(super) history: History,
}

impl SimulatedBackend {
    /// Sends, and waits for the answer as long as the caller does.
    async fn ask(&self, request: Request) -> Answer {
        // As drivers do before they write: to be dropped here is to have sent nothing.
        tokio::task::yield_now().await;
        let operation = request.operation();
        let (sender, answer) = oneshot::channel();
        let sent = Sent::ToStore { request, reply_to: ReplyTo::new(sender) };
        let now = self.clock.true_now();
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).push((now, sent));
        let answer = match answer.await {
            Ok(answer) => answer,
            // The request was lost, and nobody will ever tell: that is what time limits are for.
            Err(_) => std::future::pending().await,
        };
        // And between the reply and the caller.
        tokio::task::yield_now().await;
        debug_assert!(!matches!(&answer, Answer::Failed(error) if error.operation() != operation));
        answer
    }
}

#[async_trait]
impl LockBackend for SimulatedBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("simulated")
            .with_tokens(TokenDurability::DataLoss)
            .with_wake_up(WakeUp::Notified, FALLBACK)
            .with_fairness(Fairness::None)
            .with_scope(Scope::Network)
            .with_lease_clock(LeaseClock::Boot)
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = self.capabilities().grantable(request.ttl()).map_err(|error| error.with_key(request.key()))?;
        debug_assert_eq!(ttl, request.ttl());
        match self.ask(Request::Acquire(request.clone())).await {
            Answer::Attempt(attempt) => Ok(*attempt),
            other => other.error(Operation::Acquire),
        }
    }

    async fn wait(&self, request: &AcquireRequest, seen: &Contention) -> Result<(), BackendError> {
        let fallback = seen.expires_in().map_or(FALLBACK, |left| left.min(FALLBACK));
        match timeout(fallback, self.ask(Request::Wait(request.clone()))).await {
            Ok(Answer::Try) | Err(_) => Ok(()),
            Ok(other) => other.error(Operation::Wait),
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        match self.ask(Request::Renew(lease.clone())).await {
            Answer::Renewal(renewal) => {
                if renewal == Renewal::Lost {
                    let what = What::Refused { owner: lease.owner(), token: lease.token().get() };
                    self.history.add(self.clock.true_now(), Some(self.client), what);
                }
                Ok(renewal)
            }
            other => other.error(Operation::Renew),
        }
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        match self.ask(Request::Release(claim.clone())).await {
            Answer::Release(release) => Ok(release),
            other => other.error(Operation::Release),
        }
    }
}

impl Answer {
    fn error<T>(self, operation: Operation) -> Result<T, BackendError> {
        match self {
            Self::Failed(error) => Err(error),
            other => unreachable!("{other:?} is no answer to {operation:?}"),
        }
    }
}

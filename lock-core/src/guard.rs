//! The guard: a lock that is held.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::held::HeldLease;
use crate::release::release;
use crate::{BackendError, FencingToken, LockKey, LockLost, LockState, LostReason, OwnerId, Release, Supervisor, Ttl};

/// A lock that is held until it is released, dropped or lost.
///
/// Holding it is a belief that ages: ask [`is_held`](Self::is_held) before each step, or put the
/// work into [`run`](Self::run), and give the [`fencing_token`](Self::fencing_token) to whatever
/// the lock protects. Only the token stops a write that was under way when the lease ended.
///
/// Dropping the guard queues a release and returns at once, inside a runtime or not. If the
/// runtime is gone, the lock is free again after its TTL. To know that it was released, use
/// [`release`](Self::release), or [`Supervisor::shutdown`](crate::Supervisor::shutdown) at the end.
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard {
    lease: Arc<HeldLease>,
    /// Keeps the heartbeat alive: a guard may outlive all other handles of its supervisor.
    supervisor: Supervisor,
    released: bool,
}

impl LockGuard {
    /// Begins to keep a lease.
    pub(crate) fn new(lease: Arc<HeldLease>, supervisor: Supervisor) -> Self {
        supervisor.shared().heartbeat.keep(lease.clone());
        Self { lease, supervisor, released: false }
    }

    /// The lock's key.
    pub fn key(&self) -> &LockKey {
        self.lease.lease().key()
    }

    /// The token of this grant, greater than that of every grant of this key before.
    pub fn fencing_token(&self) -> FencingToken {
        self.lease.lease().token()
    }

    /// The id of this acquisition.
    pub fn owner(&self) -> OwnerId {
        self.lease.owner()
    }

    /// The TTL granted.
    pub fn ttl(&self) -> Ttl {
        self.lease.lease().ttl()
    }

    /// Whether the lock is ours for certain, now. Compares the clock: right even when this process
    /// was stopped past the lease's end and no timer has fired yet. Once false, always false.
    pub fn is_held(&self) -> bool {
        self.state() != LockState::Lost
    }

    /// How sure the holder can be.
    pub fn state(&self) -> LockState {
        self.lease.observe()
    }

    /// How long the lock is ours even if no renewal succeeds; zero when it is lost.
    pub fn remaining(&self) -> Duration {
        self.lease.remaining()
    }

    /// Until when the lock is ours if nothing more is heard, and whether it has been lost. Ends nothing that is over, as
    /// every other question does: so the simulation sees what is told to those who don't ask.
    #[cfg(feature = "simulation")]
    pub(crate) fn over_at(&self) -> (crate::Timestamp, bool) {
        self.lease.over_at()
    }

    /// Waits until the lock is lost or the guard is gone. The future doesn't borrow the guard.
    ///
    /// It is told before the store can grant the lock to anyone else, unless this process isn't
    /// running at that time.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn lost(&self) -> impl Future<Output = LockLost> + Send + 'static {
        let lease = self.lease.clone();
        async move { lease.lost().await }
    }

    /// Runs `work` as long as the lock is held. `work` is dropped at its next await point when the
    /// lock is lost, and is never polled again.
    ///
    /// # Errors
    /// [`LockLost`], also when `work` came to its end after the lock was lost: then a part of it
    /// ran without the lock, and its result is not handed out as if it hadn't.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`. The lock stays held.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, LockLost> {
        let mut lost = pin!(self.lease.lost());
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(loss) = lost.as_mut().poll(context) {
                return Poll::Ready(Err(loss));
            }
            if let Some(loss) = self.lease.loss() {
                return Poll::Ready(Err(loss));
            }
            work.as_mut().poll(context).map(|output| match self.lease.loss() {
                None => Ok(output),
                Some(too_late) => Err(too_late),
            })
        })
        .await
    }

    /// Releases the lock. Tried again, if need be, for up to one TTL; no renewal follows.
    ///
    /// # Errors
    /// [`ReleaseError::Lost`]: it was lost before, so a part of the work was done without it.
    /// Nobody else's lock was touched. [`ReleaseError::Store`]: the store can't be told; the lock
    /// is free again after its TTL.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the release to the background, as dropping the guard does.
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        let loss = self.lease.loss();
        self.lease.end(LostReason::Released);
        let heartbeat = &self.supervisor.shared().heartbeat;
        let mut under_way = heartbeat.hand_over(&self.lease);
        self.lease.renewal_over().await;
        let answer = release(heartbeat.context(), self.lease.claim(), self.ttl()).await;
        self.released = true;
        under_way.ended(answer.is_ok());
        match (loss, answer) {
            (Some(loss), _) => Err(ReleaseError::Lost(loss)),
            (None, Ok(Release::Released)) => Ok(()),
            (None, Ok(Release::NotHeld)) => {
                let loss = self.lease.was_taken();
                Err(ReleaseError::Lost(loss.unwrap_or_else(|| self.lease.told(LostReason::TakenAway))))
            }
            (None, Err(error)) => Err(ReleaseError::Store(error)),
        }
    }
}

/// Why a lock was not released by its holder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It was lost before.
    #[error("released too late: {0}")]
    Lost(#[source] LockLost),
    /// The store failed or refused.
    #[error("{0}; the lock frees itself when its TTL is over")]
    Store(#[source] BackendError),
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !self.released {
            self.supervisor.shared().heartbeat.let_go(&self.lease, LostReason::Released);
        }
    }
}

impl std::fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockGuard")
            .field("key", self.key())
            .field("token", &self.fencing_token())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

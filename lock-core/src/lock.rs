//! The request builder: what users write between `lock(key)` and a guard.

use std::sync::Arc;
use std::time::Duration;

use crate::acquire::{Acquisition, Patience};
use crate::guard::LockGuard;
use crate::{
    AcquireRequest, BackendError, Contention, FencingToken, HolderInfo, InvalidKey, InvalidLabel, InvalidTtl, Label,
    LockKey, Supervisor, Ttl,
};

/// A lock that is about to be asked for: made by [`Supervisor::lock`], ended by
/// [`acquire`](Self::acquire) or [`try_acquire`](Self::try_acquire).
#[must_use = "nothing is asked for until acquire or try_acquire is awaited"]
pub struct LockRequest {
    supervisor: Supervisor,
    key: Result<LockKey, InvalidKey>,
    ttl: Result<Ttl, InvalidTtl>,
    wait_at_most: Option<Duration>,
    max_hold: Option<Duration>,
    holder: Option<HolderInfo>,
    label: Option<String>,
}

impl LockRequest {
    pub(crate) fn new(supervisor: Supervisor, key: Result<LockKey, InvalidKey>) -> Self {
        let ttl = Ok(Ttl::default());
        Self { supervisor, key, ttl, wait_at_most: None, max_hold: None, holder: None, label: None }
    }

    /// How long the lease lives without a renewal, and so how long others wait at most after this
    /// process hangs. Default: 15 s. A pause of this process that is longer loses the lock.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Ttl::new(ttl);
        self
    }

    /// How long [`acquire`](Self::acquire) waits at most. Default: without end.
    pub fn wait_at_most(mut self, limit: Duration) -> Self {
        self.wait_at_most = Some(limit);
        self
    }

    /// How long the lock is held at most, however alive its holder seems. Default: without end.
    ///
    /// Then it counts as lost and isn't renewed any more, so work that takes longer than the rest of
    /// its TTL to stop goes on without it.
    pub fn max_hold(mut self, limit: Duration) -> Self {
        self.max_hold = Some(limit);
        self
    }

    /// A note for people who find the lock taken: at most [`Label::MAX_LEN`] bytes.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Another description of the holder than this process, such as that of a command it runs.
    pub fn holder(mut self, holder: HolderInfo) -> Self {
        self.holder = Some(holder);
        self
    }

    /// Acquires the lock, waiting for it as long as [`wait_at_most`](Self::wait_at_most) allows.
    /// Waiters of one supervisor are served in the order in which they came.
    ///
    /// # Errors
    /// [`AcquireError`]. Whatever this acquire may have left at the store by then is released in
    /// the background.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue, and releases in the background what may have been
    /// granted meanwhile. If that can't reach the store, the lock is free again after one TTL.
    pub async fn acquire(self) -> Result<LockGuard, AcquireError> {
        let patience = self.wait_at_most.map_or(Patience::WaitForEver, Patience::WaitAtMost);
        self.checked()?.run(patience).await
    }

    /// Acquires the lock if it is free now, and if nobody waits for it in this process.
    ///
    /// # Errors
    /// [`AcquireError::Held`] tells who has it. Others: as [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(self) -> Result<LockGuard, AcquireError> {
        self.checked()?.run(Patience::DontWait).await
    }

    /// Everything that can be wrong before the store is asked.
    fn checked(self) -> Result<Acquisition, AcquireError> {
        let (key, ttl) = (self.key?, self.ttl?);
        let ttl = self.supervisor.capabilities().grantable(ttl).map_err(|error| error.with_key(&key))?;
        let mut request = AcquireRequest::new(key, ttl).with_loss_hint(self.supervisor.shared().loss_hint());
        let label = self.label.map(Label::new).transpose()?;
        if self.holder.is_some() || label.is_some() {
            let mut holder = self.holder.unwrap_or_else(|| request.holder().clone());
            if let Some(label) = label {
                holder = holder.with_label(label);
            }
            request = request.with_holder(Arc::new(holder));
        }
        Ok(Acquisition { supervisor: self.supervisor, request, max_hold: self.max_hold })
    }
}

/// Why a lock was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The key can't be a lock key.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The TTL can't be a TTL. (One outside the backend's range: [`AcquireError::Backend`].)
    #[error(transparent)]
    InvalidTtl(#[from] InvalidTtl),
    /// The label is too long.
    #[error(transparent)]
    InvalidLabel(#[from] InvalidLabel),
    /// Someone else has it, or waits for it; only [`LockRequest::try_acquire`] says so.
    #[error("the lock \"{}\" is held by {}", .0.record().key(), .0.record())]
    Held(Box<Contention>),
    /// It didn't become free in time.
    #[error("the lock \"{key}\" did not become free within {limit:?}{}", held_by(seen.as_deref()))]
    WaitTimedOut {
        /// The lock.
        key: LockKey,
        /// How long was waited.
        limit: Duration,
        /// Who had it when last seen; `None` when this acquire never came to its turn at the store.
        seen: Option<Box<Contention>>,
    },
    /// The store failed or refused, and nothing is held.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The store failed in a way that may hide a grant: it is being released in the background,
    /// and if the store can't be reached, the lock is free again after one TTL at the latest.
    #[error("{0}; it isn't known whether the lock was granted, so it may be taken for up to one TTL")]
    Ambiguous(#[source] BackendError),
    /// The store granted a token that is not greater than one granted before: it has lost data
    /// (restored from a backup, failed over). The lock was given back.
    #[error("the store granted \"{key}\" with token {granted}, but {seen} was granted before: it has lost data")]
    FencingRegression {
        /// The lock.
        key: LockKey,
        /// The token that was refused.
        granted: FencingToken,
        /// The greatest token seen before.
        seen: FencingToken,
    },
    /// The supervisor was shut down.
    #[error("not acquired: the supervisor was shut down")]
    ShutDown,
}

impl AcquireError {
    pub(crate) fn held(seen: Contention) -> Self {
        Self::Held(Box::new(seen))
    }

    pub(crate) fn wait_timed_out(key: &LockKey, limit: Duration, seen: Option<Contention>) -> Self {
        Self::WaitTimedOut { key: key.clone(), limit, seen: seen.map(Box::new) }
    }

    /// Who has the lock, if that is why it was not acquired.
    pub fn contention(&self) -> Option<&Contention> {
        match self {
            Self::Held(seen) => Some(seen),
            Self::WaitTimedOut { seen, .. } => seen.as_deref(),
            _ => None,
        }
    }
}

fn held_by(seen: Option<&Contention>) -> String {
    seen.map(|seen| format!("; it is held by {}", seen.record())).unwrap_or_default()
}

//! The trait of a store: the five calls of a lock.

use async_trait::async_trait;

use crate::{AcquireRequest, Attempt, BackendError, Capabilities, Claim, Contention, Lease, Release, Renewal};

/// A store of TTL-based locks.
///
/// Implement these five calls and the [`Supervisor`](crate::Supervisor) gives you the rest:
/// heartbeats, loss detection, queues, clean-up, metrics. The rules below are checked by the
/// conformance kit (feature `conformance`).
///
/// 1. `try_acquire` is idempotent by owner: after a lost reply the same owner asks again and gets
///    the same token.
/// 2. `release` is idempotent, touches only its own owner, and also withdraws whatever that owner
///    left behind. So it is the clean-up of an abandoned or ambiguous acquire, too.
/// 3. `wait` returns when another `try_acquire` of the request is worth while. It may return
///    early, never forget: a lost notification costs at most
///    [`Capabilities::wake_up_within`].
/// 4. `renew` never turns an error into a loss, nor a loss into an error.
/// 5. The TTL granted is told and is never shorter than the one asked for. Outside the range: an
///    error of kind [`ErrorKind::TtlOutOfRange`](crate::ErrorKind::TtlOutOfRange). A first lease may be
///    shorter if the grant [says so](crate::Grant::with_first_lease).
/// 6. Keys are encoded injectively. No key, however strange, reaches another key.
///
/// # Cancelling
/// Every call may be dropped at any await point, and may have been applied all the same; the
/// supervisor then calls `release` with the same owner.
#[async_trait]
pub trait LockBackend: Send + Sync + 'static {
    /// What this store can do. Constant for the life of the backend.
    fn capabilities(&self) -> Capabilities;

    /// Takes the lock if it is free, and leaves nothing behind if it isn't; for a request that
    /// [will wait](AcquireRequest::will_wait) it may take a place in the queue already.
    ///
    /// An owner that already holds the lock has its lease refreshed, with the same token.
    ///
    /// # Errors
    /// [`BackendError`]; one of kind `TimedOut` or `Unavailable` may hide a grant.
    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError>;

    /// Waits until another `try_acquire` of this request is worth while.
    ///
    /// `seen` is what the last try answered. A store with a queue gives the owner a place in it,
    /// and keeps the place until the owner is granted the lock or `release` withdraws it.
    ///
    /// # Errors
    /// [`BackendError`] when the store can't be asked. The place in a queue may then remain.
    async fn wait(&self, request: &AcquireRequest, seen: &Contention) -> Result<(), BackendError>;

    /// Extends a lease to its TTL from now. A lease that lives longer than that is not shortened.
    ///
    /// # Errors
    /// [`BackendError`] says that it isn't known whether the lease was extended: it lives at
    /// least as long as it did before.
    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError>;

    /// Frees the lock if it is this owner's, and withdraws whatever else the owner left.
    ///
    /// # Errors
    /// [`BackendError`] when that isn't known to have happened; calling again is safe.
    async fn release(&self, claim: &Claim) -> Result<Release, BackendError>;
}

//! What the supervisor asks of a backend, and what a backend answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{FencingToken, HolderInfo, LockKey, LockRecord, OwnerId, Ttl};

/// Asks for a lock on behalf of one owner.
#[derive(Debug, Clone)]
pub struct AcquireRequest {
    key: LockKey,
    owner: OwnerId,
    ttl: Ttl,
    holder: Arc<HolderInfo>,
    loss_hint: LossHint,
    will_wait: bool,
}

impl AcquireRequest {
    /// A request of a new owner, that says of itself what [`HolderInfo::this_process`] says.
    pub fn new(key: LockKey, ttl: Ttl) -> Self {
        let (owner, holder) = (OwnerId::mint(), HolderInfo::shared());
        Self { key, owner, ttl, holder, loss_hint: LossHint(None), will_wait: false }
    }

    /// The same request of another owner: for wrappers that pass a changed request on.
    pub fn with_owner(mut self, owner: OwnerId) -> Self {
        self.owner = owner;
        self
    }

    /// The same request with another description of the holder.
    pub fn with_holder(mut self, holder: Arc<HolderInfo>) -> Self {
        self.holder = holder;
        self
    }

    /// The same request with somebody who wants to hear of a loss early.
    pub fn with_loss_hint(mut self, hint: LossHint) -> Self {
        self.loss_hint = hint;
        self
    }

    /// The same request of somebody who waits if the lock is held.
    pub fn with_waiting(mut self, will_wait: bool) -> Self {
        self.will_wait = will_wait;
        self
    }

    /// The lock that is asked for.
    pub fn key(&self) -> &LockKey {
        &self.key
    }
    /// Who asks. The same in every try of one acquisition.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }
    /// The TTL that is asked for.
    pub fn ttl(&self) -> Ttl {
        self.ttl
    }
    /// What the holder says of itself.
    pub fn holder(&self) -> &HolderInfo {
        &self.holder
    }
    /// The same, to be kept.
    pub fn holder_shared(&self) -> Arc<HolderInfo> {
        self.holder.clone()
    }
    /// Where a backend that hears of a loss between two renewals can say so.
    pub fn loss_hint(&self) -> &LossHint {
        &self.loss_hint
    }
    /// Whether who asks will wait if the lock is held. A backend may then take a place in the queue for it at once, and may
    /// answer "held" by what it knew a moment ago, since its `wait` looks anyway. To anybody else, "held" must be true
    /// during the call.
    pub fn will_wait(&self) -> bool {
        self.will_wait
    }
    /// The claim that undoes this request, whatever became of it.
    pub fn claim(&self) -> Claim {
        Claim::new(self.key.clone(), self.owner)
    }
}

/// Tells the supervisor that a lease may be lost, so that it renews at once instead of at the next
/// heartbeat. The hint decides nothing, the renewal's answer does: a wrong hint costs one call.
#[derive(Clone)]
pub struct LossHint(Option<Arc<dyn Fn(OwnerId) + Send + Sync>>);

impl LossHint {
    /// A hint that calls `listener` with the owner whose lease may be lost.
    pub fn new(listener: impl Fn(OwnerId) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// The lease of `owner` may be lost. Never blocks; cheap.
    pub fn fire(&self, owner: OwnerId) {
        if let Some(listener) = &self.0 {
            listener(owner);
        }
    }
}

impl fmt::Debug for LossHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LossHint")
    }
}

/// What a store answered to an [`AcquireRequest`].
#[derive(Debug, Clone)]
pub enum Attempt {
    /// The lock is the owner's, for the TTL in the grant, from some moment after the request was sent.
    Granted(Grant),
    /// Someone else has it. A value, not an error.
    Held(Contention),
}

/// A lease that was granted.
#[derive(Debug, Clone)]
pub struct Grant {
    token: FencingToken,
    ttl: Ttl,
    lives: Duration,
    takeover: Takeover,
}

/// What became of the holder before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Takeover {
    /// It released the lock, or there was none, or the store can't tell.
    #[default]
    None,
    /// Its process is gone and it had not released.
    Crashed,
    /// It didn't renew in time.
    Expired,
}

impl Grant {
    /// A grant of `token` for `ttl`, which is the TTL as the store rounded it.
    pub fn new(token: FencingToken, ttl: Ttl) -> Self {
        Self { token, ttl, lives: ttl.get(), takeover: Takeover::None }
    }

    /// Tells that the lease lives only this long at first: for a store that hands a lock to a waiter who may have died
    /// meanwhile, or that grants it by a lease which began before. The supervisor renews it soon, and from then on it lives
    /// for the TTL.
    ///
    /// Counted, as the TTL is, from before `try_acquire` was called.
    pub fn with_first_lease(mut self, lives: Duration) -> Self {
        self.lives = lives.min(self.ttl.get());
        self
    }

    /// Tells what became of the holder before.
    pub fn with_takeover(mut self, takeover: Takeover) -> Self {
        self.takeover = takeover;
        self
    }

    /// The fencing token of the grant.
    pub fn token(&self) -> FencingToken {
        self.token
    }
    /// The TTL granted, not shorter than the one asked for.
    pub fn ttl(&self) -> Ttl {
        self.ttl
    }
    /// How long the lease lives without a renewal: the TTL, unless a
    /// [shorter first lease](Self::with_first_lease) was told.
    pub fn lives(&self) -> Duration {
        self.lives
    }
    /// What became of the holder before.
    pub fn takeover(&self) -> Takeover {
        self.takeover
    }
}

/// Why a lock was not granted: who has it, as far as the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contention {
    record: LockRecord,
    waiters: Option<u64>,
}

impl Contention {
    /// Someone else has the lock.
    pub fn new(record: LockRecord) -> Self {
        Self { record, waiters: None }
    }

    /// Tells how many wait in the store's queue.
    pub fn with_waiters(mut self, waiters: u64) -> Self {
        self.waiters = Some(waiters);
        self
    }

    /// The holder, as far as the store knows: also one that was handed the lock and doesn't know it yet. While a free lock
    /// is only kept for the first who waits, that one is described, without a token.
    pub fn record(&self) -> &LockRecord {
        &self.record
    }
    /// How many wait in the store's queue, where it has one.
    pub fn waiters(&self) -> Option<u64> {
        self.waiters
    }
    /// How long the holder's lease lives unless renewed; `None` when unknown.
    pub fn expires_in(&self) -> Option<Duration> {
        self.record.expires_in()
    }
}

/// A lease to be renewed.
#[derive(Debug, Clone)]
pub struct Lease {
    claim: Claim,
    token: FencingToken,
    ttl: Ttl,
}

impl Lease {
    /// The lease that `grant` gave to the owner of `claim`.
    pub fn new(claim: Claim, token: FencingToken, ttl: Ttl) -> Self {
        Self { claim, token, ttl }
    }

    /// The lock.
    pub fn key(&self) -> &LockKey {
        &self.claim.key
    }
    /// The holder.
    pub fn owner(&self) -> OwnerId {
        self.claim.owner
    }
    /// The token of the grant.
    pub fn token(&self) -> FencingToken {
        self.token
    }
    /// The TTL to extend the lease to, from now.
    pub fn ttl(&self) -> Ttl {
        self.ttl
    }
    /// The claim that releases this lease.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }
}

/// What a store answered to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease lives for another TTL, as the store rounded it.
    Renewed(Ttl),
    /// The store says that the lock is not this owner's (any more). Final.
    Lost,
}

/// Everything that one owner may have at the store for one key: a lease, a place in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    key: LockKey,
    owner: OwnerId,
}

impl Claim {
    /// The claim of `owner` on `key`.
    pub fn new(key: LockKey, owner: OwnerId) -> Self {
        Self { key, owner }
    }

    /// The lock.
    pub fn key(&self) -> &LockKey {
        &self.key
    }
    /// The owner.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }
}

/// What a store answered to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The lock was this owner's and is free now.
    Released,
    /// It wasn't; whatever else the owner had left is gone too.
    NotHeld,
}

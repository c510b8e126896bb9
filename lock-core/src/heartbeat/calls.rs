//! The heartbeat's calls to the store, each a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Heartbeat;
use super::work::PendingRelease;
use crate::held::HeldLease;
use crate::{Operation, Release, Renewal};

/// A renewal under way. Its end is told by the drop, so that a backend's panic or the end of the
/// runtime leaves no lease that waits for it for ever.
pub(super) struct Renewing {
    heartbeat: Arc<Heartbeat>,
    lease: Arc<HeldLease>,
    slot: Option<OwnedSemaphorePermit>,
}

/// A release under way; told by the drop, too.
pub(crate) struct Releasing {
    heartbeat: Arc<Heartbeat>,
    slot: Option<OwnedSemaphorePermit>,
    /// The store was told, or need not be.
    done: bool,
}

/// Sends one renewal and takes in its answer.
pub(super) async fn renew(this: Renewing) {
    let (context, lease) = (&this.heartbeat.context, &this.lease);
    let sent = context.now();
    let until = lease.next_timer().map_or(Duration::ZERO, |at| at.since(sent));
    let call = context.backend.renew(lease.lease());
    match context.call(Operation::Renew, lease.lease().key(), context.limits.call.min(until), call).await {
        Ok(Renewal::Renewed(ttl)) => lease.renewed(sent, ttl, fastrand::f64()),
        Ok(Renewal::Lost) => lease.renewal_refused(),
        Err(error) => lease.renewal_failed(error),
    }
}

/// Releases what a lease that was let go, or an acquire that was given up, has at the store.
pub(super) async fn release(pending: PendingRelease, mut this: Releasing) {
    let heartbeat = this.heartbeat.clone();
    let context = &heartbeat.context;
    if let Some(lease) = &pending.lease {
        lease.renewal_over().await;
    }
    // A failure is told by telemetry; the TTL frees what this couldn't.
    let Ok(answer) = crate::release::release(context, &pending.claim, pending.ttl).await else { return };
    this.ended(true);
    if let Some(lease) = pending.lease.filter(|_| answer == Release::NotHeld) {
        lease.was_taken();
    }
}

impl Renewing {
    pub(super) fn new(heartbeat: Arc<Heartbeat>, lease: Arc<HeldLease>, slot: OwnedSemaphorePermit) -> Self {
        Self { heartbeat, lease, slot: Some(slot) }
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        self.lease.end_renewal();
        // Before the heartbeat is woken, which looks for a slot.
        drop(self.slot.take());
        let must_wake = self.heartbeat.work().renewal_is_over(&self.lease);
        if must_wake {
            self.heartbeat.wake.notify_one();
        }
    }
}

impl Releasing {
    /// In the background: it counts as failed unless it gets as far as `done`, since its task may panic
    /// or be dropped with its runtime.
    pub(super) fn new(heartbeat: Arc<Heartbeat>, slot: OwnedSemaphorePermit) -> Self {
        Self { heartbeat, slot: Some(slot), done: false }
    }

    /// By a guard, which leaves it to the background if it is dropped on the way.
    pub(super) fn by_a_guard(heartbeat: Arc<Heartbeat>) -> Self {
        Self { heartbeat, slot: None, done: true }
    }

    /// Whether the store was told.
    pub(crate) fn ended(&mut self, done: bool) {
        self.done = done;
    }
}

impl Drop for Releasing {
    fn drop(&mut self) {
        let had_slot = self.slot.take().is_some();
        let mut work = self.heartbeat.work();
        work.releasing -= 1;
        work.failed += usize::from(!self.done);
        drop(work);
        self.heartbeat.released.notify_waiters();
        // Another release may wait for the slot. A guard's own release has none, and wakes nobody.
        if had_slot {
            self.heartbeat.wake.notify_one();
        }
    }
}

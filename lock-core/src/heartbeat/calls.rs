//! The heartbeat's calls to the store, each a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Heartbeat;
use super::work::PendingRelease;
use crate::held::HeldLease;
use crate::{Operation, Renewal};

/// A renewal under way. Its end is told by the drop, so that a backend's panic or the end of the
/// runtime leaves no lease that waits for it for ever.
pub(super) struct Renewing {
    heartbeat: Arc<Heartbeat>,
    lease: Arc<HeldLease>,
    slot: Option<OwnedSemaphorePermit>,
}

/// A release under way; told by the drop, too.
pub(super) struct Releasing {
    heartbeat: Arc<Heartbeat>,
    slot: Option<OwnedSemaphorePermit>,
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
pub(super) async fn release(pending: PendingRelease, this: Releasing) {
    if let Some(lease) = pending.lease {
        lease.renewal_over().await;
    }
    // A failure is told by telemetry; the TTL frees what this couldn't.
    let _ = crate::release::release(&this.heartbeat.context, &pending.claim, pending.ttl).await;
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
    pub(super) fn new(heartbeat: Arc<Heartbeat>, slot: OwnedSemaphorePermit) -> Self {
        Self { heartbeat, slot: Some(slot) }
    }
}

impl Drop for Releasing {
    fn drop(&mut self) {
        drop(self.slot.take());
        self.heartbeat.work().releasing -= 1;
        self.heartbeat.released.notify_waiters();
        self.heartbeat.wake.notify_one();
    }
}

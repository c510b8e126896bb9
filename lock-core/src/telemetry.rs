//! What a supervisor tells the outside: metrics (the `metrics` facade) and `tracing` events.
//!
//! Handles are looked up once a supervisor (117 ns a look-up, 16 ns with a handle), so install
//! the recorder before the supervisor is made.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use tracing::{debug, info, trace, warn};

use crate::{AcquireError, BackendError, FencingToken, Grant, LockKey, LockLost, LostReason, Takeover};

pub(crate) struct Telemetry {
    backend: &'static str,
    acquired: Counter,
    contended: Counter,
    failed: Counter,
    acquire_seconds: Histogram,
    wait_seconds: Histogram,
    held_seconds: Histogram,
    renewals: Counter,
    renewal_failures: Counter,
    renewal_slack_seconds: Histogram,
    retries: Counter,
    takeovers_crashed: Counter,
    takeovers_expired: Counter,
    fencing_regressions: Counter,
    release_failures: Counter,
}

impl Telemetry {
    pub(crate) fn new(backend: &'static str) -> Self {
        let attempts = |outcome| counter!("distlock_acquires_total", "backend" => backend, "outcome" => outcome);
        let takeovers = |holder| counter!("distlock_takeovers_total", "backend" => backend, "holder" => holder);
        Self {
            backend,
            acquired: attempts("granted"),
            contended: attempts("held"),
            failed: attempts("failed"),
            acquire_seconds: histogram!("distlock_acquire_seconds", "backend" => backend),
            wait_seconds: histogram!("distlock_wait_seconds", "backend" => backend),
            held_seconds: histogram!("distlock_held_seconds", "backend" => backend),
            renewals: counter!("distlock_renewals_total", "backend" => backend),
            renewal_failures: counter!("distlock_renewal_failures_total", "backend" => backend),
            renewal_slack_seconds: histogram!("distlock_renewal_slack_seconds", "backend" => backend),
            retries: counter!("distlock_retries_total", "backend" => backend),
            takeovers_crashed: takeovers("crashed"),
            takeovers_expired: takeovers("expired"),
            fencing_regressions: counter!("distlock_fencing_regressions_total", "backend" => backend),
            release_failures: counter!("distlock_release_failures_total", "backend" => backend),
        }
    }

    /// The store granted a lock; `took` is the granting call alone.
    pub(crate) fn granted(&self, key: &LockKey, grant: &Grant, took: Duration) {
        self.acquired.increment(1);
        self.acquire_seconds.record(took);
        match grant.takeover() {
            Takeover::Crashed => self.takeovers_crashed.increment(1),
            Takeover::Expired => self.takeovers_expired.increment(1),
            Takeover::None => {}
        }
        let (backend, token, takeover) = (self.backend, grant.token().get(), grant.takeover());
        debug!(backend, %key, token, ?takeover, ?took, "lock granted");
    }

    /// An acquire succeeded, so long after it was called.
    pub(crate) fn waited(&self, key: &LockKey, waited: Duration) {
        self.wait_seconds.record(waited);
        trace!(backend = self.backend, %key, ?waited, "lock acquired");
    }

    /// An acquire failed.
    pub(crate) fn not_acquired(&self, key: &LockKey, error: &AcquireError) {
        if error.contention().is_some() {
            self.contended.increment(1);
            debug!(backend = self.backend, %key, %error, "lock not acquired");
        } else {
            self.failed.increment(1);
            warn!(backend = self.backend, %key, %error, "lock not acquired");
        }
    }

    pub(crate) fn retried(&self, error: &BackendError) {
        self.retries.increment(1);
        info!(backend = self.backend, error = error as &dyn std::error::Error, "trying again");
    }

    /// A renewal succeeded, this long before the deadline.
    pub(crate) fn renewed(&self, slack: Duration) {
        self.renewals.increment(1);
        self.renewal_slack_seconds.record(slack);
    }

    pub(crate) fn renewal_failed(&self, error: &BackendError) {
        self.renewal_failures.increment(1);
        warn!(backend = self.backend, error = error as &dyn std::error::Error, "renewal failed, trying again");
    }

    /// A lease ended.
    pub(crate) fn ended(&self, loss: &LockLost, held: Duration) {
        self.held_seconds.record(held);
        let (backend, key, token, reason) = (self.backend, loss.key(), loss.token().get(), loss.reason());
        if matches!(reason, LostReason::Released | LostReason::ShutDown) {
            debug!(backend, %key, token, ?held, "lock let go");
        } else {
            self.count_loss(loss);
            warn!(backend, %key, token, ?held, %reason, "lock lost");
        }
    }

    /// A loss that was found at the release only.
    pub(crate) fn lost_before_release(&self, loss: &LockLost) {
        self.count_loss(loss);
        warn!(backend = self.backend, key = %loss.key(), token = loss.token().get(), "the lock had been lost before its release");
    }

    fn count_loss(&self, loss: &LockLost) {
        let (backend, reason) = (self.backend, loss.reason().name());
        counter!("distlock_losses_total", "backend" => backend, "reason" => reason).increment(1);
    }

    pub(crate) fn fencing_regression(&self, key: &LockKey, granted: FencingToken, seen: FencingToken) {
        self.fencing_regressions.increment(1);
        let (backend, granted, seen) = (self.backend, granted.get(), seen.get());
        warn!(backend, %key, granted, seen, "the store granted a token that is not greater than one before");
    }

    pub(crate) fn release_failed(&self, error: &BackendError) {
        self.release_failures.increment(1);
        let error = error as &dyn std::error::Error;
        warn!(backend = self.backend, error, "release failed, the lock frees itself when its TTL is over");
    }
}

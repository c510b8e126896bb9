//! A store that fails while a lock is being acquired: for how long that is borne.

use std::time::Duration;

use crate::context::Context;
use crate::{AcquireError, BackendError, LockKey, Outcome, Timestamp, schedule};

/// Calls that failed one after the other.
pub(super) struct Trouble {
    failures: u32,
    since: Option<Timestamp>,
    /// Whether any request of this acquisition may still be applied. Never goes back.
    outcome: Outcome,
    last_error: Option<BackendError>,
    in_line: bool,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { failures: 0, since: None, outcome: Outcome::NotApplied, last_error: None, in_line: false }
    }
}

impl Trouble {
    /// Whether this acquire has a place to lose: who stands in line bears a store that fails for longer than somebody who
    /// has just come, and whose caller wants to know soon that there is no store.
    pub(super) fn stands_in_line(&mut self, stands: bool) {
        self.in_line = stands;
    }

    /// Takes in a failure: how long to pause before the next call, or the error that ends the acquire.
    pub(super) fn pause_after(
        &mut self,
        context: &Context,
        key: &LockKey,
        error: BackendError,
    ) -> Result<Duration, AcquireError> {
        let error = if error.key().is_none() { error.with_key(key) } else { error };
        if error.outcome() == Outcome::Unknown {
            self.outcome = Outcome::Unknown;
        }
        self.failures += 1;
        let now = context.now();
        let pause = schedule::retry_after(self.failures);
        let since = *self.since.get_or_insert(now);
        let limits = context.limits;
        let patience = if self.in_line { limits.patience.max(limits.wait_patience) } else { limits.patience };
        if error.is_transient() && (now + pause).since(since) < patience {
            context.telemetry.retried(&error);
            self.last_error = Some(error);
            return Ok(pause);
        }
        Err(self.ends_in(error))
    }

    /// The error of an acquire that ends while calls fail; `None` while they don't.
    pub(super) fn take_error(&mut self) -> Option<AcquireError> {
        self.last_error.take().map(|error| self.ends_in(error))
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The store has answered.
    pub(super) fn is_over(&mut self) {
        self.failures = 0;
        self.since = None;
        self.last_error = None;
    }

    fn ends_in(&self, error: BackendError) -> AcquireError {
        match self.outcome {
            Outcome::Unknown => AcquireError::Ambiguous(error),
            Outcome::NotApplied => AcquireError::Backend(error),
        }
    }
}

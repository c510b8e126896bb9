//! What every part of one supervisor shares: the backend, the clock, the limits, the telemetry.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::telemetry::Telemetry;
use crate::{BackendError, Clock, ErrorKind, LockBackend, LockKey, Operation, Timestamp};

pub(crate) struct Context {
    pub(crate) backend: Arc<dyn LockBackend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Telemetry,
}

/// The bounds of everything that a supervisor waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// One call to the backend.
    pub(crate) call: Duration,
    /// Failing calls in a row, while acquiring, before the acquire fails.
    pub(crate) patience: Duration,
    /// The same for an acquire that stands in line.
    pub(crate) wait_patience: Duration,
    /// Calls of the heartbeat, and releases in the background, under way at once.
    pub(crate) calls_at_once: usize,
    /// All of a shutdown.
    pub(crate) shutdown: Duration,
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs one call to the backend within its limit. No answer in time is an error like others.
    pub(crate) async fn call<T>(
        &self,
        operation: Operation,
        key: &LockKey,
        limit: Duration,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let result = timeout(limit, call).await.unwrap_or_else(|_| {
            let message = format!("the store gave no answer within {limit:?}");
            Err(BackendError::new(ErrorKind::TimedOut, operation, message))
        });
        result.map_err(|error| if error.key().is_none() { error.with_key(key) } else { error })
    }
}

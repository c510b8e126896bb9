//! How many requests are sent at once, and whose turn it is.

use std::sync::Arc;

use lock_core::Operation;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests under way at once, besides the watches: each is a connection to the agent, which allows 200 a client. With
/// three watches and one that was given up that makes seven connections; an eighth is opened when the next request comes
/// before the connection of the last one is seen to be free.
const CALLS_AT_ONCE: usize = 3;
/// Of these for acquiring and waiting: a crowd of waiters keeps no renewal and no release from a connection.
const NEWCOMERS_AT_ONCE: usize = 2;

/// Who may send.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    newcomers: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Semaphore::new(CALLS_AT_ONCE).into(), newcomers: Semaphore::new(NEWCOMERS_AT_ONCE).into() }
    }
}

/// May send until it is dropped.
pub(crate) type Permits = (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>);

impl Turns {
    /// A turn that is free now.
    pub(crate) fn at_once(&self, operation: Operation) -> Option<Permits> {
        let first = if is_newcomer(operation) { Some(self.newcomers.clone().try_acquire_owned().ok()?) } else { None };
        Some((first, Some(self.all.clone().try_acquire_owned().ok()?)))
    }

    /// The next turn, first come, first served.
    pub(crate) async fn in_order(&self, operation: Operation) -> Permits {
        // The semaphores are never closed; were they, the agent's own limit would be left.
        let first = if is_newcomer(operation) { self.newcomers.clone().acquire_owned().await.ok() } else { None };
        (first, self.all.clone().acquire_owned().await.ok())
    }
}

fn is_newcomer(operation: Operation) -> bool {
    matches!(operation, Operation::Acquire | Operation::Wait)
}

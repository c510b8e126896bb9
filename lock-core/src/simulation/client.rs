//! What a simulated program is given.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::backend::SimulatedBackend;
use super::clock::HostClock;
use super::history::{History, What};
use super::message::{Outbox, Sent};
use super::process::panicked;
use crate::{LockBackend, Supervisor, SupervisorBuilder};

/// One client of a simulated store: a process on a host of its own, with clocks of its own.
#[derive(Clone)]
pub struct Client {
    pub(super) number: usize,
    pub(super) clock: HostClock,
    pub(super) outbox: Outbox,
    pub(super) backend: Arc<SimulatedBackend>,
    pub(super) history: History,
}

impl Client {
    /// Which client this is, counted from 0 in the order in which they were added.
    pub fn number(&self) -> usize {
        self.number
    }

    /// A new supervisor over the simulated store, with this host's clock. Make one a client.
    pub fn supervisor(&self) -> Supervisor {
        self.supervisor_builder().build()
    }

    /// The same, with other limits. (A heartbeat on a thread of its own can't be simulated.)
    pub fn supervisor_builder(&self) -> SupervisorBuilder {
        Supervisor::builder(self.backend()).clock(Arc::new(self.clock.clone()))
    }

    /// The simulated store as this client sees it, for programs that wrap their backend.
    pub fn backend(&self) -> Arc<dyn LockBackend> {
        self.backend.clone()
    }

    /// Does something at a resource that others use as well, such as a shared variable: a moment later, in the
    /// order of true time among all clients, and whatever becomes of this client meanwhile.
    ///
    /// What is shared between clients must be touched in here and nowhere else. A client that was stopped after
    /// it had made sure of its lock is behind the others, and the simulation runs it so.
    ///
    /// # Panics
    /// When the deed does.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back once it was polled.
    pub async fn at_resource<T: Send + 'static>(&self, deed: impl FnOnce() -> T + Send + 'static) -> T {
        self.at_resource_after(Duration::ZERO, deed).await
    }

    /// As [`at_resource`](Self::at_resource), by a way that takes so much longer: a write that hangs in a buffer.
    ///
    /// # Panics
    /// When the deed does.
    ///
    /// # Cancel safety
    /// As [`at_resource`](Self::at_resource).
    pub async fn at_resource_after<T: Send + 'static>(
        &self,
        delay: Duration,
        deed: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (sender, result) = oneshot::channel();
        let (history, number) = (self.history.clone(), self.number);
        let deed = Box::new(move || {
            // Else it would end the simulation, and not this client.
            let done = catch_unwind(AssertUnwindSafe(deed));
            if let Err(panic) = &done {
                // Who asked may have gone away.
                history.add_now(What::Failed { client: number, error: panicked(&**panic) });
            }
            Box::new(move || drop(sender.send(done))) as Box<dyn FnOnce() + Send>
        });
        let sent = (self.clock.true_now(), Sent::ToResource { deed, delay });
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        match result.await {
            Ok(done) => done.unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => std::future::pending().await,
        }
    }

    /// Adds a line to the run's log, which is printed when the run fails.
    pub fn note(&self, line: impl Into<String>) {
        self.tell(What::Note(line.into()));
    }

    pub(super) fn tell(&self, what: What) {
        self.history.add(self.clock.true_now(), Some(self.number), what);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("number", &self.number).finish_non_exhaustive()
    }
}

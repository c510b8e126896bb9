//! What a backend's author writes: how to reach a store of one's own.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{LockAdmin, LockBackend, Store};

/// Why a harness can't start, or can't connect a client. `?` turns any error into one.
pub type HarnessError = Box<dyn Error + Send + Sync>;

/// A store that one case has to itself: a directory, a key prefix, a namespace.
///
/// Every case starts its own harness and asks it for two clients or more. Two harnesses must not see each other's
/// locks. Dropping the harness removes what the case left behind; where that needs a connection, do it in
/// [`Harness::clean_up`].
///
/// A store that can't be reached is an error, never a skipped test.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// One more client of the store: independent of those before, with a connection of its own.
    ///
    /// # Errors
    /// Whatever keeps it from connecting; the case then fails.
    async fn client(&self) -> Result<Client, HarnessError>;

    /// The TTL of leases that a case lets expire: short, but much longer than a few calls take. 200 ms is good for
    /// a store in memory, a second for one on this host. Raised to the shortest that the store grants.
    fn ttl(&self) -> Duration;

    /// How long after its TTL an abandoned lease may live on. Zero for a store that judges expiry by itself; a
    /// store that reaps now and then says how late it may be.
    fn tolerance(&self) -> Duration {
        Duration::ZERO
    }

    /// Removes what the case left in the store. Called after each case, whether it passed or failed.
    ///
    /// # Errors
    /// Whatever keeps it from that; the case then fails.
    async fn clean_up(&self) -> Result<(), HarnessError> {
        Ok(())
    }
}

/// One client of a store, as the cases use it: through `dyn` traits alone.
#[derive(Clone)]
pub struct Client {
    backend: Arc<dyn LockBackend>,
    admin: Option<Arc<dyn LockAdmin>>,
}

impl Client {
    /// A client that locks, and has no administration.
    pub fn new(backend: Arc<dyn LockBackend>) -> Self {
        Self { backend, admin: None }
    }

    /// A client with both traits.
    pub fn of(store: impl Store) -> Self {
        let store = Arc::new(store);
        Self { backend: store.clone(), admin: Some(store) }
    }

    /// Adds administration.
    pub fn with_admin(mut self, admin: Arc<dyn LockAdmin>) -> Self {
        self.admin = Some(admin);
        self
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn LockBackend> {
        &self.backend
    }

    /// Its administration, where it has one.
    pub fn admin(&self) -> Option<&Arc<dyn LockAdmin>> {
        self.admin.as_ref()
    }
}

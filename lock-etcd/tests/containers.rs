//! The conformance kit on etcd in a container: `cargo test -p lock-etcd --features containers --test containers`.
//! The image is named by `DISTLOCK_ETCD_IMAGE`. Without an engine, or without the image, every test fails.
#![cfg(feature = "containers")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};
use lock_etcd::EtcdBackend;
use testbed::container::Container;

struct Contained {
    server: Arc<Container>,
    prefix: String,
}

async fn start() -> Result<Contained, HarnessError> {
    static SHARED: Mutex<Weak<Container>> = Mutex::new(Weak::new());
    static LAST: AtomicU32 = AtomicU32::new(0);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let server = match shared.upgrade() {
        Some(running) => running,
        None => Arc::new(Container::etcd()?),
    };
    *shared = Arc::downgrade(&server);
    Ok(Contained { server, prefix: format!("{}/", LAST.fetch_add(1, Ordering::Relaxed)) })
}

#[async_trait]
impl Harness for Contained {
    async fn client(&self) -> Result<Client, HarnessError> {
        Ok(Client::of(EtcdBackend::builder([self.server.address()]).with_prefix(&self.prefix).build()?))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// The server looks for leases that are over every half second, and ends them by a write.
    fn tolerance(&self) -> Duration {
        Duration::from_millis(1_500)
    }
}

lock_core::conformance!(start);

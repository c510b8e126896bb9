//! The conformance kit on a real etcd, one process for all cases; each has a prefix of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};
use lock_etcd::EtcdBackend;
use testbed::etcd::Etcd;

struct Prefix {
    server: Arc<Etcd>,
    prefix: String,
}

#[expect(clippy::unused_async, reason = "the kit starts a harness by a future")]
async fn start() -> Result<Prefix, HarnessError> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    Ok(Prefix { server: Etcd::shared()?, prefix: format!("{}/{number}/", std::process::id()) })
}

#[async_trait]
impl Harness for Prefix {
    async fn client(&self) -> Result<Client, HarnessError> {
        Ok(Client::of(EtcdBackend::builder(self.server.endpoints()).with_prefix(&self.prefix).build()?))
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

//! The conformance kit on a real etcd, one process for all cases; each has a prefix of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};
use lock_etcd::EtcdBackend;
use testbed::etcd::Etcd;

struct Namespace {
    server: Arc<Etcd>,
    prefix: String,
    share_leases: bool,
}

#[expect(clippy::unused_async, reason = "the kit starts a harness by a future")]
async fn start(share_leases: bool) -> Result<Namespace, HarnessError> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    Ok(Namespace { server: Etcd::shared()?, prefix: format!("{}/{number}/", std::process::id()), share_leases })
}

#[async_trait]
impl Harness for Namespace {
    async fn client(&self) -> Result<Client, HarnessError> {
        let builder = EtcdBackend::builder(self.server.endpoints()).with_prefix(&self.prefix);
        Ok(Client::of(if self.share_leases { builder.with_shared_leases() } else { builder }.build()?))
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// The server looks for leases that are over every half second, and ends them by a write. A shared lease lives for
    /// half a TTL more.
    fn tolerance(&self) -> Duration {
        Duration::from_millis(if self.share_leases { 2_500 } else { 1_500 })
    }
}

lock_core::conformance!(|| start(false));
lock_core::conformance!(shared_leases: || start(true));

//! The conformance kit's harness for an agent, wherever it runs: a prefix of its own for each case.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lock_consul::ConsulBackend;
use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};

pub(crate) struct Prefix {
    address: String,
    prefix: String,
}

const LOCK_DELAY: Duration = Duration::from_millis(500);

impl Prefix {
    /// One that no other case has, on the agent at this address.
    pub(crate) fn on(address: String) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { address, prefix: format!("case {}/", NEXT.fetch_add(1, Ordering::Relaxed)) }
    }
}

#[async_trait]
impl Harness for Prefix {
    async fn client(&self) -> Result<Client, HarnessError> {
        let builder = ConsulBackend::builder(&self.address).prefix(&self.prefix).lock_delay(LOCK_DELAY);
        Ok(Client::of(builder.build()?))
    }

    fn ttl(&self) -> Duration {
        // The shortest that Consul grants.
        Duration::from_secs(10)
    }

    /// Consul ends a session after twice its TTL, and keeps the lock shut for the delay.
    fn tolerance(&self) -> Duration {
        self.ttl() + LOCK_DELAY + Duration::from_millis(500)
    }
}

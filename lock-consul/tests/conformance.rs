//! The conformance kit on a real agent: one for all cases, and a prefix of its own for each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lock_consul::ConsulBackend;
use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};
use testbed::consul::Agent;

struct Prefix {
    address: String,
    prefix: String,
}

const LOCK_DELAY: Duration = Duration::from_millis(500);

impl Prefix {
    async fn start() -> Result<Self, HarnessError> {
        static AGENT: Mutex<Option<Agent>> = Mutex::new(None);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut agent = AGENT.lock().unwrap_or_else(PoisonError::into_inner);
        if agent.is_none() {
            *agent = Some(Agent::dev()?);
        }
        let address = agent.as_ref().map(Agent::address).unwrap_or_default();
        Ok(Self { address, prefix: format!("case {}/", NEXT.fetch_add(1, Ordering::Relaxed)) })
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

lock_core::conformance!(Prefix::start);

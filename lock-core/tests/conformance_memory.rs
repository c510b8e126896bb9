//! The memory backend under the conformance kit.

use std::time::Duration;

use lock_core::MemoryBackend;
use lock_core::conformance::{Client, Harness, HarnessError};

struct Memory(MemoryBackend);

impl Memory {
    #[expect(clippy::unused_async, reason = "other stores connect here")]
    async fn start() -> Result<Self, HarnessError> {
        Ok(Self(MemoryBackend::new()))
    }
}

#[lock_core::async_trait]
impl Harness for Memory {
    async fn client(&self) -> Result<Client, HarnessError> {
        Ok(Client::of(self.0.clone()))
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(200)
    }
}

lock_core::conformance!(Memory::start);

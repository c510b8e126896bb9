//! The conformance kit on a server in a container: its image is the one that `DISTLOCK_REDIS_IMAGE` names, else redis:7.
#![cfg(feature = "containers")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};
use lock_redis::RedisBackend;
use testbed::container::Container;

static SERVER: LazyLock<Result<Container, String>> =
    LazyLock::new(|| Container::redis().map_err(|error| format!("{error:#}")));

struct Case {
    host: String,
    port: u16,
    prefix: String,
}

impl Case {
    async fn start() -> Result<Self, HarnessError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Starting it blocks, and may need a runtime of its own.
        let server = tokio::task::spawn_blocking(|| SERVER.as_ref().map_err(Clone::clone)).await??;
        let (host, port) = server.address().rsplit_once(':').ok_or("the container has no port")?;
        let prefix = format!("case{}:", NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { host: host.to_owned(), port: port.parse()?, prefix })
    }
}

#[async_trait]
impl Harness for Case {
    async fn client(&self) -> Result<Client, HarnessError> {
        let builder = RedisBackend::server(&self.host, self.port).with_prefix(&self.prefix);
        Ok(Client::of(builder.connect().await?))
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(500)
    }
}

lock_core::conformance!(Case::start);

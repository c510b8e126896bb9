//! The conformance kit on a server that all cases share, each with a prefix of its own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};
use lock_redis::RedisBackend;
use testbed::redis::RedisServer;

static SERVER: LazyLock<Result<RedisServer, String>> =
    LazyLock::new(|| RedisServer::start(&[]).map_err(|error| format!("{error:#}")));

struct Prefix {
    port: u16,
    prefix: String,
}

impl Prefix {
    async fn start() -> Result<Self, HarnessError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER.as_ref().map_err(Clone::clone)?;
        let prefix = format!("case{}:", NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { port: server.port(), prefix })
    }
}

#[async_trait]
impl Harness for Prefix {
    async fn client(&self) -> Result<Client, HarnessError> {
        Ok(Client::of(RedisBackend::server("127.0.0.1", self.port).with_prefix(&self.prefix).connect().await?))
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(500)
    }
}

lock_core::conformance!(Prefix::start);

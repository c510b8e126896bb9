//! A Redis server as the ground of a run. It writes every change to disk before it answers, so that a kill loses
//! nothing: what happens when data is lost is what removals show.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use async_trait::async_trait;
use distlock::LockKey;
use distlock::lock_redis::RedisBackend;
use testbed::redis::RedisServer;

use super::servers::Servers;
use crate::chaos::plan::Fault;

pub(super) struct Redis(RedisServer);

/// Answers the lock's value, and deletes all keys that the lock's name stands in, in one step.
const REMOVE: &str = "local value = redis.call('GET', KEYS[1])
for _, key in ipairs(redis.call('KEYS', '*' .. KEYS[1] .. '*')) do redis.call('DEL', key) end
return value or ''";

impl Redis {
    pub(super) fn start() -> Result<Self> {
        Ok(Self(RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"])?))
    }
}

#[async_trait]
impl Servers for Redis {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![(Ipv4Addr::LOCALHOST, self.0.port()).into()]
    }

    fn url(&self, addresses: &[SocketAddr]) -> String {
        format!("redis://{}", addresses[0])
    }

    fn victim(&mut self, _: Fault) -> Result<usize> {
        Ok(0)
    }

    fn hurt(&mut self, _: usize, fault: Fault) -> Result<()> {
        if fault == Fault::ServerKill { self.0.kill() } else { self.0.process().stop() }
    }

    fn mend(&mut self, _: usize, fault: Fault) -> Result<()> {
        if fault == Fault::ServerKill { self.0.start_again() } else { self.0.process().go_on() }
    }

    async fn remove(&mut self, key: &LockKey) -> Result<Vec<u64>> {
        #[derive(serde::Deserialize)]
        struct Record {
            token: u64,
        }
        let value = self.0.command(&["EVAL", REMOVE, "1", &format!("{}{key}", RedisBackend::DEFAULT_PREFIX)])?;
        if value.is_empty() {
            return Ok(Vec::new());
        }
        let record: Record = serde_json::from_str(&value).with_context(|| format!("a lock's value: {value}"))?;
        Ok(vec![record.token])
    }
}

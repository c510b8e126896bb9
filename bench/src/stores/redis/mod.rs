//! A redis-server without persistence.

mod floor;
#[cfg(feature = "peers")]
mod peers;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use testbed::proxy::Proxy;
use testbed::redis::RedisServer;

use crate::contest::{Contestant, Counted, Kind, Lack, Program, Role, Store, Way, ours};

pub(crate) struct Redis(RedisServer);

impl Redis {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self(RedisServer::start(&[])?))
    }
}

impl Store for Redis {
    fn url(&self) -> String {
        self.0.url()
    }

    fn version(&self) -> String {
        let info = self.0.command(&["INFO", "server"]).unwrap_or_default();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?").trim();
        format!("redis-server {version} on this host, without persistence")
    }

    fn shortest_ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn programs(&self) -> Vec<Program> {
        let url = self.url();
        vec![Program {
            name: "distlock run",
            lacks: &[],
            note: "",
            command: Box::new(move || {
                let mut command = Command::new(crate::process::distlock());
                command.args(["run", "--url", &url, "bench", "--", "true"]);
                command
            }),
        }]
    }

    fn servers(&self) -> Vec<u32> {
        self.0.process().pid().and_then(|pid| u32::try_from(pid).ok()).into_iter().collect()
    }

    /// `INFO commandstats` counts those in scripts, and the scripts.
    fn commands(&self) -> Result<Option<u64>> {
        let counts = self.0.commands()?;
        Ok(Some(counts.iter().filter(|(name, _)| name != "info").map(|(_, count)| count).sum()))
    }

    fn counted(&self) -> Result<Option<Counted>> {
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], self.0.port())));
        Ok(Some(Counted { url: format!("redis://{}", proxy.address()), proxy }))
    }
}

pub(crate) fn contestants() -> Vec<Contestant> {
    let mut all = vec![ours(), floor::scripts(), floor::token()];
    #[cfg(feature = "peers")]
    all.extend(peers::contestants());
    all.extend(python());
    all
}

fn python() -> Vec<Contestant> {
    const SKIPS: &[(Kind, &str)] =
        &[(Kind::Heartbeats, "nothing is renewed"), (Kind::Throughput, "one thread a task, in Python")];
    const LACKS: &[Lack] =
        &[Lack::Token, Lack::Metadata, Lack::Renewal, Lack::LossNotice, Lack::WakeUp, Lack::Order, Lack::AsyncWaiting];
    [
        ("redis-py", "its Lock; asks every 100 ms"),
        ("sherlock", "its RedisLock, over redis-py; asks every 100 ms, the default"),
        ("tooz", "its redis driver, over redis-py"),
    ]
    .map(|(name, note)| Contestant { name, role: Role::Peer, lacks: LACKS, note, way: Way::Python(name), skips: SKIPS })
    .into()
}

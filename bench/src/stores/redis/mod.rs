//! A redis-server without persistence.

mod floor;
#[cfg(feature = "peers")]
mod peers;
mod scripts;

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
            name: crate::results::OUR_COMMAND,
            lacks: &[],
            note: "",
            command: Box::new(move || {
                let mut command = Command::new(crate::process::distlock());
                command.args(["run", "--url", &url, "bench", "--", "true"]);
                command
            }),
        }]
    }

    fn too_many(&self, contestant: &str, locks: u64) -> Option<String> {
        (contestant == "tooz" && locks > 10_000).then(|| "one request after the other, in Python".into())
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
    let mut all = vec![ours(), scripts::least(), scripts::ours_raw(), floor::token()];
    #[cfg(feature = "peers")]
    all.extend(peers::contestants());
    all.extend(python());
    all
}

fn python() -> Vec<Contestant> {
    const ONE_THREAD: (Kind, &str) = (Kind::Throughput, "one thread a task, in Python");
    const SKIPS: &[(Kind, &str)] = &[(Kind::Heartbeats, "nothing is renewed"), ONE_THREAD];
    const LACKS: &[Lack] =
        &[Lack::Token, Lack::Metadata, Lack::Renewal, Lack::LossNotice, Lack::WakeUp, Lack::Order, Lack::AsyncWaiting];
    const TOOZ_LACKS: &[Lack] =
        &[Lack::Token, Lack::Metadata, Lack::LossNotice, Lack::WakeUp, Lack::Order, Lack::AsyncWaiting];
    let peer = |name, lacks, note, skips| {
        let way = Way::Python(name);
        Contestant { name, role: Role::Peer, lacks, note, way, skips }
    };
    vec![
        peer("redis-py", LACKS, "its Lock; asks every 100 ms", SKIPS),
        peer("sherlock", LACKS, "its RedisLock, over redis-py; asks every 100 ms, the default", SKIPS),
        peer(
            "tooz",
            TOOZ_LACKS,
            "its redis driver, over redis-py; renews in the background (start_heart=True)",
            &[ONE_THREAD],
        ),
    ]
}

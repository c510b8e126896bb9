//! Three masters, each with a third of the slots, and a replica for each.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::server::{Cli, RedisServer};

/// The cluster's bus is at the port and this.
pub(super) const BUS: u16 = 10_000;

/// A cluster of three masters with a replica each. A failover takes about two seconds.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the servers and joins them, and waits until all agree.
    ///
    /// # Errors
    /// When redis-server isn't installed, is older than 7.0, or something doesn't start.
    pub fn start() -> Result<Self> {
        let arguments =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"];
        let servers = (0..6).map(|_| RedisServer::start_near(BUS, &arguments)).collect::<Result<Vec<_>>>()?;
        let addresses: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        let mut words = vec!["--cluster", "create"];
        words.extend(addresses.iter().map(String::as_str));
        words.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        Cli::new([])?.run_plain(&words)?;
        let cluster = Self { servers };
        let end = Instant::now() + Duration::from_secs(30);
        while !cluster.is_ready() {
            if Instant::now() > end {
                bail!("the cluster isn't ready within 30 s");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(cluster)
    }

    /// The nodes' addresses.
    pub fn addresses(&self) -> Vec<(String, u16)> {
        addresses(&self.servers)
    }

    /// The URL for the facade.
    pub fn url(&self) -> String {
        url(&self.servers)
    }

    /// The server that is the master of a key now.
    ///
    /// # Errors
    /// When no server knows.
    pub fn master_of(&mut self, key: &str) -> Result<&mut RedisServer> {
        let index = self.servers.iter().position(|server| {
            // Any other server redirects.
            server.command(&["EXISTS", key]).is_ok()
                && server.command(&["ROLE"]).is_ok_and(|role| role.starts_with("master"))
        });
        self.servers.get_mut(index.context("no server has the key")?).context("no such server")
    }

    /// All servers.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    fn is_ready(&self) -> bool {
        self.servers.iter().all(|server| {
            let state = server.command(&["CLUSTER", "INFO"]).unwrap_or_default();
            let replication = server.command(&["INFO", "replication"]).unwrap_or_default();
            let follows = replication.contains("master_link_status:up") || replication.contains("connected_slaves:1");
            state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:6") && follows
        })
    }
}

/// The addresses of a cluster's nodes.
pub(super) fn addresses(servers: &[RedisServer]) -> Vec<(String, u16)> {
    servers.iter().map(|server| ("127.0.0.1".to_owned(), server.port())).collect()
}

/// The URL of a cluster for the facade.
pub(super) fn url(servers: &[RedisServer]) -> String {
    let list: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("redis+cluster://{}", list.join(","))
}

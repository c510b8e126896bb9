//! Masters without replicas, whose slots can be moved.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::cluster::{BUS, addresses, url};
use super::server::RedisServer;

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// A cluster of some masters, which starts in two seconds.
#[derive(Debug)]
pub struct RedisShards {
    servers: Vec<RedisServer>,
}

/// A slot on its way to another master: see [`RedisShards::begin_to_move`].
#[derive(Debug)]
#[must_use = "the slot stays between the two until `finish`"]
pub struct SlotMove<'a> {
    slot: String,
    from: &'a RedisServer,
    to: &'a RedisServer,
}

impl RedisShards {
    /// Starts the masters, each with as many slots as the others, and waits until all agree.
    ///
    /// # Errors
    /// When redis-server isn't installed, or something doesn't start.
    pub fn start(masters: usize) -> Result<Self> {
        Self::start_announcing(&vec![None; masters], &[])
    }

    /// The same, where clients are told of other ports (those of proxies): one for each master. `arguments` as on the
    /// command line.
    ///
    /// # Errors
    /// As [`RedisShards::start`].
    pub fn start_announcing(ports: &[Option<u16>], arguments: &[&str]) -> Result<Self> {
        let servers = ports.iter().map(|port| {
            let port = port.map(|port| port.to_string());
            let mut all = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
            if let Some(port) = &port {
                all.extend(["--cluster-announce-port", port]);
            }
            all.extend(arguments);
            RedisServer::start_near(BUS, &all)
        });
        let shards = Self { servers: servers.collect::<Result<Vec<_>>>()? };
        let each = SLOTS.div_ceil(shards.servers.len());
        for (index, server) in shards.servers.iter().enumerate() {
            let (first, last) = (each * index, (each * (index + 1)).min(SLOTS) - 1);
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
            if index > 0 {
                let (first, bus) = (shards.servers[0].port(), shards.servers[0].port() + BUS);
                server.command(&["CLUSTER", "MEET", "127.0.0.1", &first.to_string(), &bus.to_string()])?;
            }
        }
        let end = Instant::now() + Duration::from_secs(30);
        while !shards.all_agree() {
            ensure!(Instant::now() < end, "the cluster isn't ready within 30 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(shards)
    }

    /// The masters' own addresses, whatever they announce.
    pub fn addresses(&self) -> Vec<(String, u16)> {
        addresses(&self.servers)
    }

    /// The URL for the facade.
    pub fn url(&self) -> String {
        url(&self.servers)
    }

    /// All masters.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The master that has a key's slot.
    ///
    /// # Errors
    /// When none has it.
    pub fn master_of(&self, key: &str) -> Result<&RedisServer> {
        // Any other server redirects.
        let has = |server: &&RedisServer| server.command(&["GET", key]).is_ok();
        self.servers.iter().find(has).context("no server has the key")
    }

    /// Begins to move a key's slot to another master: keys that aren't there are asked for at that one (`ASK`).
    ///
    /// # Errors
    /// When the servers refuse.
    pub fn begin_to_move(&self, key: &str) -> Result<SlotMove<'_>> {
        let from = self.master_of(key)?;
        let to = self.servers.iter().find(|server| server.port() != from.port()).context("no other master")?;
        let slot = from.command(&["CLUSTER", "KEYSLOT", key])?;
        to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from.command(&["CLUSTER", "MYID"])?])?;
        from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.command(&["CLUSTER", "MYID"])?])?;
        Ok(SlotMove { slot, from, to })
    }

    fn all_agree(&self) -> bool {
        let known = format!("cluster_known_nodes:{}", self.servers.len());
        self.servers.iter().all(|server| {
            let state = server.command(&["CLUSTER", "INFO"]).unwrap_or_default();
            // Not while somebody else's slots aren't known yet.
            ["cluster_state:ok", "cluster_slots_ok:16384", &known].iter().all(|word| state.contains(word))
        })
    }
}

impl SlotMove<'_> {
    /// Moves one of the slot's keys.
    ///
    /// # Errors
    /// When the servers refuse, or the key isn't there.
    pub fn move_key(&self, name: &str) -> Result<()> {
        let told = self.from.command(&["MIGRATE", "127.0.0.1", &self.to.port().to_string(), name, "0", "5000"])?;
        ensure!(told == "OK", "moving {name}: {told}");
        Ok(())
    }

    /// Moves the slot's keys, one after the other, and then the slot.
    ///
    /// # Errors
    /// When the servers refuse.
    pub fn finish(self) -> Result<()> {
        loop {
            // New ones may come meanwhile.
            let names = self.from.command(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "100"])?;
            if names.is_empty() {
                break;
            }
            names.lines().try_for_each(|name| self.move_key(name))?;
        }
        let id = self.to.command(&["CLUSTER", "MYID"])?;
        for server in [self.to, self.from] {
            server.command(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &id])?;
        }
        Ok(())
    }
}

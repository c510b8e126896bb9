//! A master, a replica, and three sentinels that watch over them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::server::{Cli, RedisServer};
use crate::process::{Process, Program};
use crate::{binary, port};

/// What the sentinels call the master.
const NAME: &str = "main";

/// Three sentinels with a master and a replica. A failover takes about two seconds.
#[derive(Debug)]
pub struct RedisSentinels {
    /// Before the servers: they end first, and start no failover at the end.
    sentinels: Vec<(Process, u16, Cli)>,
    servers: Vec<RedisServer>,
}

impl RedisSentinels {
    /// Starts all five, and waits until the sentinels know each other and the replica.
    ///
    /// # Errors
    /// When redis-server isn't installed or something doesn't start.
    pub fn start() -> Result<Self> {
        let master = RedisServer::start(&[])?;
        let address = ["--replicaof", "127.0.0.1", &master.port().to_string(), "--repl-diskless-sync-delay", "0"]
            .map(str::to_owned);
        let replica = RedisServer::start(&address.each_ref().map(String::as_str))?;
        let servers = vec![master, replica];
        let sentinels = (0..3).map(|_| sentinel(servers[0].port())).collect::<Result<Vec<_>>>()?;
        let started = Self { sentinels, servers };
        started.until("the sentinels know each other and the replica", |(_, _, cli)| {
            let told = cli.run(&["SENTINEL", "MASTER", NAME])?;
            let lines: Vec<_> = told.lines().collect();
            let of = |name: &str| lines.iter().position(|line| *line == name).and_then(|at| lines.get(at + 1).copied());
            Ok(of("num-other-sentinels") == Some("2") && of("num-slaves") == Some("1"))
        })?;
        let replica = &started.servers[1];
        let end = Instant::now() + Duration::from_secs(20);
        while !replica.command(&["INFO", "replication"])?.contains("master_link_status:up") {
            anyhow::ensure!(Instant::now() < end, "the replica didn't follow the master within 20 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }

    /// The sentinels' addresses.
    pub fn addresses(&self) -> Vec<(String, u16)> {
        self.sentinels.iter().map(|(_, port, _)| ("127.0.0.1".to_owned(), *port)).collect()
    }

    /// The processes of the sentinels, in the order of their addresses.
    pub fn sentinels(&self) -> impl Iterator<Item = &Process> {
        self.sentinels.iter().map(|(process, _, _)| process)
    }

    /// The master's name.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The URL for the facade.
    pub fn url(&self) -> String {
        let list: Vec<_> = self.sentinels.iter().map(|(_, port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}", list.join(","))
    }

    /// The server that began as the master.
    pub fn first_master(&mut self) -> &mut RedisServer {
        &mut self.servers[0]
    }

    /// The server that began as the replica.
    pub fn first_replica(&mut self) -> &mut RedisServer {
        &mut self.servers[1]
    }

    /// Lets the replica follow the master, which lives and becomes a replica.
    ///
    /// # Errors
    /// When the first sentinel refuses.
    pub fn fail_over(&self) -> Result<()> {
        let (_, _, cli) = self.sentinels.first().context("no sentinel")?;
        cli.run(&["SENTINEL", "FAILOVER", NAME]).map(|_| ())
    }

    /// Waits until all sentinels name this port as the master's.
    ///
    /// # Errors
    /// When they don't within 30 s.
    pub fn until_master_is(&self, port: u16) -> Result<()> {
        self.until("the failover", |(_, _, cli)| {
            Ok(cli.run(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?.contains(&port.to_string()))
        })
    }

    fn until(&self, what: &str, ready: impl Fn(&(Process, u16, Cli)) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if self.sentinels.iter().all(|sentinel| ready(sentinel).unwrap_or(false)) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("{what}: not within 30 s");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn sentinel(master: u16) -> Result<(Process, u16, Cli)> {
    let file = binary::find("redis-server", "DISTLOCK_REDIS_SERVER")
        .or_else(|error| binary::find("valkey-server", "DISTLOCK_REDIS_SERVER").map_err(|_| error))?;
    let port = port::free()?;
    let mut made = Ok(());
    let mut process = Process::start(|directory| {
        let config = directory.join("sentinel.conf");
        made = fs::write(
            &config,
            format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {master} 2\n\
                 sentinel down-after-milliseconds {NAME} 700\nsentinel failover-timeout {NAME} 3000\n",
                directory.display()
            ),
        );
        Program::new(file).arg(config).arg("--sentinel")
    })?;
    made.context("writing the sentinel's configuration")?;
    process.wait_for(|process| process.log().contains("monitor master").then_some(()))?;
    Ok((process, port, Cli::new(["-h", "127.0.0.1", "-p", &port.to_string()])?))
}

//! Three servers, and a client agent before them.

use anyhow::{Context, Result, bail};

use super::agent::{Agent, Ports, Settings};

/// Three servers that keep their data on disk, and an agent in client mode that finds whichever leads: what runs on
/// each host beside the programs that use Consul.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Agent>,
    server_ports: Vec<u16>,
    client: Agent,
}

impl Cluster {
    /// Blocks until the client agent can create sessions.
    ///
    /// # Errors
    /// When consul isn't installed, or isn't ready in time.
    pub fn start() -> Result<Self> {
        let ports = [Ports::free()?, Ports::free()?, Ports::free()?];
        let join: Vec<_> = ports.iter().map(|ports| format!(r#""127.0.0.1:{}""#, ports.serf)).collect();
        let join =
            format!(r#""retry_join": [{}], "retry_interval": "1s", "disable_update_check": true"#, join.join(", "));
        let fast = r#""performance": {"raft_multiplier": 1}"#;
        let start = |n: usize, ports: Ports, more: &str| {
            let more = format!(r#""node_name": "n{n}", {join}, {fast}{more}"#);
            Agent::start(ports, "", &more, &Settings::default())
        };
        let servers = ports
            .iter()
            .enumerate()
            .map(|(n, ports)| {
                start(n, *ports, r#", "server": true, "bootstrap_expect": 3, "leave_on_terminate": false"#)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut client = start(3, Ports::free()?, "")?;
        client.until_ready()?;
        Ok(Self { servers, server_ports: ports.map(|ports| ports.server).to_vec(), client })
    }

    /// The client agent.
    pub fn client(&self) -> &Agent {
        &self.client
    }

    /// The client agent, to be stopped and killed.
    pub fn client_mut(&mut self) -> &mut Agent {
        &mut self.client
    }

    /// The servers.
    pub fn servers(&mut self) -> &mut [Agent] {
        &mut self.servers
    }

    /// Which server leads; `None` while none does.
    pub fn leader(&self) -> Option<usize> {
        // Each server is asked what it thinks; the one that thinks so of itself is right.
        (0..self.servers.len()).find(|server| {
            let answer = self.servers[*server].ask("GET", "/v1/status/leader", "");
            let address = format!("\"127.0.0.1:{}\"", self.server_ports[*server]);
            answer.is_ok_and(|answer| answer.status == 200 && answer.body.trim() == address)
        })
    }

    /// Kills the server that leads, and answers which it was. Waits for one if there is none just now.
    ///
    /// # Errors
    /// When there is none within half a minute.
    pub fn kill_leader(&mut self) -> Result<usize> {
        for _ in 0..600 {
            if let Some(leader) = self.leader() {
                self.servers[leader].process().kill()?;
                return Ok(leader);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        bail!("no server leads")
    }

    /// Starts a server that was killed.
    ///
    /// # Errors
    /// When it runs.
    pub fn start_again(&mut self, server: usize) -> Result<()> {
        self.servers.get_mut(server).context("no such server")?.process().start_again()
    }
}

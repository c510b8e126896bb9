//! A consul agent in development mode: a server that keeps its data in memory.

mod floor;
mod plain;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use testbed::consul::Agent;
use testbed::proxy::Proxy;

use crate::contest::{Contestant, Counted, Lack, Program, Store, ours};

pub(crate) struct DevAgent(Agent);

impl DevAgent {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self(Agent::dev()?))
    }
}

impl Store for DevAgent {
    fn url(&self) -> String {
        format!("consul://127.0.0.1:{}", self.0.port())
    }

    fn version(&self) -> String {
        let told = self.0.ask("GET", "/v1/agent/self", "").map(|answer| answer.body).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
        let version = told["Config"]["Version"].as_str().unwrap_or("?");
        format!("consul {version} on this host, in development mode (nothing is synced)")
    }

    fn shortest_ttl(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn too_many(&self, _contestant: &str, locks: u64) -> Option<String> {
        (locks > 10_000)
            .then(|| "a session each: 10,000 requests a second to renew, more than the agent answers".into())
    }

    fn programs(&self) -> Vec<Program> {
        let url = self.url();
        let mut programs = vec![Program {
            name: crate::results::OUR_COMMAND,
            lacks: &[],
            note: "",
            command: Box::new(move || {
                let mut command = std::process::Command::new(crate::process::distlock());
                command.args(["run", "--url", &url, "bench", "--", "true"]);
                command
            }),
        }];
        if let Ok(consul) = self.0.command() {
            let (program, address) = (consul.get_program().to_owned(), self.0.address());
            programs.push(Program {
                name: "consul lock",
                lacks: &[Lack::Token, Lack::Metadata, Lack::Order],
                note: "",
                command: Box::new(move || {
                    let mut command = std::process::Command::new(&program);
                    command.env("CONSUL_HTTP_ADDR", &address).args(["lock", "-shell=false", "bench-consul", "true"]);
                    command
                }),
            });
        }
        programs
    }

    fn servers(&self) -> Vec<u32> {
        self.0.process_id().into_iter().collect()
    }

    fn counted(&self) -> Result<Option<Counted>> {
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], self.0.port())));
        Ok(Some(Counted { url: format!("consul://{}", proxy.address()), proxy }))
    }
}

pub(crate) fn contestants() -> Vec<Contestant> {
    vec![ours(), floor::put_and_delete(), floor::put_to_answer(), plain::plain()]
}

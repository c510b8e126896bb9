//! Three Consul servers, and the agent before them that clients talk to.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use distlock::LockKey;
use testbed::consul::Cluster;

use super::servers::Servers;
use crate::chaos::plan::Fault;

pub(super) struct Consul(Cluster);

impl Consul {
    pub(super) fn start() -> Result<Self> {
        Ok(Self(Cluster::start()?))
    }
}

#[async_trait]
impl Servers for Consul {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![(Ipv4Addr::LOCALHOST, self.0.client().port()).into()]
    }

    fn url(&self, addresses: &[SocketAddr]) -> String {
        format!("consul://{}", addresses[0])
    }

    fn victim(&mut self, _: Fault) -> Result<usize> {
        // Where none leads just now, one of those that vote.
        Ok(self.0.leader().unwrap_or_default())
    }

    fn hurt(&mut self, server: usize, fault: Fault) -> Result<()> {
        let process = self.0.servers()[server].process();
        if fault == Fault::ServerKill { process.kill() } else { process.stop() }
    }

    fn mend(&mut self, server: usize, fault: Fault) -> Result<()> {
        let process = self.0.servers()[server].process();
        if fault == Fault::ServerKill { process.start_again() } else { process.go_on() }
    }

    async fn remove(&mut self, key: &LockKey) -> Result<Vec<u64>> {
        let name = format!("{key}/.lock");
        let steps = ["get", "delete"].map(|verb| serde_json::json!({"KV": {"Verb": verb, "Key": name}}));
        let answer = self.0.client().ask("PUT", "/v1/txn", &serde_json::to_string(&steps)?)?;
        // There is no such key.
        if answer.status == 409 {
            return Ok(Vec::new());
        }
        ensure!(answer.status == 200, "deleting {name}: {} {}", answer.status, answer.body);
        let answer: serde_json::Value = serde_json::from_str(&answer.body)?;
        let token = answer["Results"][0]["KV"]["ModifyIndex"].as_u64();
        Ok(vec![token.context("no ModifyIndex")?])
    }
}

//! Three etcd members as the ground of a run. Clients are told of all three.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use async_trait::async_trait;
use distlock::LockKey;
use testbed::etcd::{Etcd as Members, EtcdOptions};

use super::servers::Servers;
use crate::chaos::plan::Fault;

/// How many members.
const MEMBERS: usize = 3;

pub(super) struct Etcd {
    members: Members,
    /// A leader that was stopped and goes on revokes leases that were renewed with its successor, before it notices
    /// that it has one: <https://github.com/etcd-io/etcd/issues/15247>. Nobody can keep two from believing then.
    stopped_leader_revokes: bool,
}

impl Etcd {
    pub(super) fn start() -> Result<Self> {
        let members = EtcdOptions::default().with_members(MEMBERS).start()?;
        let stopped_leader_revokes = is_before_the_mending(&version()?);
        if stopped_leader_revokes {
            println!("chaos: this etcd revokes renewed leases when a stopped leader goes on, so followers are stopped");
        }
        Ok(Self { members, stopped_leader_revokes })
    }
}

/// The server's version: "3.4.23".
fn version() -> Result<String> {
    let program = testbed::binary::find("etcd", "DISTLOCK_ETCD")?;
    let said = std::process::Command::new(program).arg("--version").output().context("asking etcd for its version")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    Ok(version.with_context(|| format!("etcd --version said: {said}"))?.trim().to_owned())
}

/// Whether an etcd doesn't know yet to ignore an old leader's revoking.
fn is_before_the_mending(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    match (next(), next(), next()) {
        (3, 4, patch) => patch < 31,
        (3, 5, patch) => patch < 13,
        (major, minor, _) => (major, minor) < (3, 4),
    }
}

#[async_trait]
impl Servers for Etcd {
    fn addresses(&self) -> Vec<SocketAddr> {
        (0..MEMBERS).map(|member| (Ipv4Addr::LOCALHOST, self.members.port(member)).into()).collect()
    }

    fn url(&self, addresses: &[SocketAddr]) -> String {
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        format!("etcd://{}", addresses.join(","))
    }

    fn victim(&mut self, fault: Fault) -> Result<usize> {
        // Where none leads just now, one that votes.
        let leader = self.members.leader().unwrap_or_default();
        let spared = fault == Fault::ServerStop && self.stopped_leader_revokes;
        Ok(if spared { (leader + 1) % MEMBERS } else { leader })
    }

    fn hurt(&mut self, member: usize, fault: Fault) -> Result<()> {
        let process = self.members.process(member);
        if fault == Fault::ServerKill { process.kill() } else { process.stop() }
    }

    fn mend(&mut self, member: usize, fault: Fault) -> Result<()> {
        let process = self.members.process(member);
        if fault == Fault::ServerKill { process.start_again() } else { process.go_on() }
    }

    async fn remove(&mut self, key: &LockKey) -> Result<Vec<u64>> {
        #[derive(serde::Deserialize)]
        struct Deleted {
            #[serde(default)]
            prev_kvs: Vec<Place>,
        }
        #[derive(serde::Deserialize)]
        struct Place {
            create_revision: u64,
        }
        let answer = self.members.ctl()?.run(&["del", "--prefix", "--prev-kv", "-w", "json", &format!("{key}/")])?;
        let deleted: Deleted = serde_json::from_str(&answer).with_context(|| format!("etcdctl said: {answer}"))?;
        // Who waited is not granted with its place any more: only the first held the lock.
        Ok(deleted.prev_kvs.iter().map(|place| place.create_revision).min().into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::is_before_the_mending;

    #[test]
    fn old_versions_are_known() {
        for (version, old) in
            [("3.4.23", true), ("3.4.31", false), ("3.5.12", true), ("3.5.16", false), ("3.6.0", false)]
        {
            assert_eq!(is_before_the_mending(version), old, "{version}");
        }
    }
}

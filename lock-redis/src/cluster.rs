//! A Redis Cluster: which node has which lock.
//!
//! The driver's own cluster client sends writes again by itself, and mixes the messages of all nodes. Here every node is
//! a link like that of a single server, so that limits, errors and messages are the same; what is left is a table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{Value, cmd};

use crate::connector::{Address, Connector, Settings};
use crate::error::Failure;
use crate::inbox::Inbox;
use crate::link::Link;
use crate::names::{LockNames, Names};
use crate::shared::Replication;
use crate::topology::Node;

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;
/// How often a call is sent to another node than the one before.
const REDIRECTIONS: u32 = 3;

/// The nodes that were met, and the slots of each.
pub(crate) struct Cluster {
    settings: Arc<Settings>,
    names: Names,
    inbox: Arc<Inbox>,
    replication: Option<Replication>,
    /// The nodes that were named, to be asked when nobody else is known.
    named: Vec<Address>,
    map: Mutex<Map>,
}

#[derive(Default)]
struct Map {
    nodes: HashMap<Address, Arc<Node>>,
    /// First and last slot, and the master that has them.
    ranges: Vec<(u16, u16, Address)>,
}

impl Cluster {
    pub(crate) fn new(
        named: Vec<Address>,
        settings: Arc<Settings>,
        names: Names,
        inbox: Arc<Inbox>,
        replication: Option<Replication>,
    ) -> Self {
        Self { settings, names, inbox, replication, named, map: Mutex::default() }
    }

    /// The way to a lock's master, which may have moved.
    pub(crate) fn way_to(&self, names: &LockNames) -> Way<'_> {
        Way { cluster: self, slot: slot_of(&names.lock), redirections: REDIRECTIONS }
    }

    /// The masters, all of them.
    pub(crate) async fn masters(&self) -> Result<Vec<Arc<Node>>, Failure> {
        self.learn().await?;
        let map = self.map();
        let mut addresses: Vec<_> = map.ranges.iter().map(|(_, _, address)| address).collect();
        addresses.sort_by_key(|address| address.to_string());
        addresses.dedup();
        Ok(addresses.into_iter().filter_map(|address| map.nodes.get(address).cloned()).collect())
    }

    async fn master_of(&self, slot: u16) -> Result<Arc<Node>, Failure> {
        if let Some(node) = self.map().master_of(slot) {
            return Ok(node);
        }
        self.learn().await?;
        let node = self.map().master_of(slot);
        node.ok_or_else(|| Failure::Odd { to: self.shown().into(), answer: format!("no node has the slot {slot}") })
    }

    /// Asks the nodes one after the other which has which slots.
    pub(crate) async fn learn(&self) -> Result<(), Failure> {
        let mut failed = None;
        let mut candidates: Vec<_> = self.map().nodes.keys().cloned().collect();
        candidates.retain(|address| !self.named.contains(address));
        for address in self.named.iter().chain(&candidates) {
            let node = self.node(address);
            match ask(node.commands(), address).await {
                Ok(ranges) if !ranges.is_empty() => {
                    for (_, _, master) in &ranges {
                        self.node(master);
                    }
                    let mut map = self.map();
                    // Nodes that have left keep no connection.
                    map.nodes.retain(|address, _| {
                        self.named.contains(address) || ranges.iter().any(|(_, _, master)| master == address)
                    });
                    map.ranges = ranges;
                    return Ok(());
                }
                Ok(_) => failed = Some(node.commands().odd(&"a cluster without slots")),
                Err(failure) => failed = Some(failure),
            }
        }
        Err(failed.unwrap_or_else(|| Failure::Odd { to: self.shown().into(), answer: "no node is named".to_owned() }))
    }

    fn node(&self, address: &Address) -> Arc<Node> {
        let make = || {
            let connect = || Connector::to_server(self.settings.clone(), address.clone());
            Arc::new(Node::with_ears(&connect, &self.names, &self.inbox, self.replication))
        };
        self.map().nodes.entry(address.clone()).or_insert_with(make).clone()
    }

    fn shown(&self) -> String {
        let list: Vec<_> = self.named.iter().map(Address::to_string).collect();
        format!("the cluster {}", list.join(","))
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call's way to a master:
///
/// ```text
/// loop {
///     let node = way.node().await?;
///     if let Some(answer) = way.judge(node.call().await).await { return answer; }
/// }
/// ```
pub(crate) struct Way<'a> {
    cluster: &'a Cluster,
    slot: u16,
    redirections: u32,
}

impl Way<'_> {
    pub(crate) async fn node(&self) -> Result<Arc<Node>, Failure> {
        self.cluster.master_of(self.slot).await
    }

    /// The answer, unless it is that another node has the lock now: then that one is asked next.
    pub(crate) async fn judge<T>(&mut self, answer: Result<T, Failure>) -> Option<Result<T, Failure>> {
        match &answer {
            Err(failure) if failure.code() == Some("MOVED") && self.redirections > 0 => {
                self.redirections -= 1;
                self.cluster.learn().await.err().map(Err)
            }
            Err(failure) if failure.is_of_the_connection() => {
                // The node may be gone for good: the next call asks who follows it.
                self.cluster.map().ranges.clear();
                Some(answer)
            }
            _ => Some(answer),
        }
    }
}

impl Map {
    fn master_of(&self, slot: u16) -> Option<Arc<Node>> {
        let (_, _, address) = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        self.nodes.get(address).cloned()
    }
}

async fn ask(link: &Link, asked: &Address) -> Result<Vec<(u16, u16, Address)>, Failure> {
    let answer = link.send(cmd("CLUSTER").arg("SLOTS")).await?;
    let Value::Array(ranges) = &answer else { return Err(link.odd(&answer)) };
    ranges.iter().map(|range| parse(range, asked).ok_or_else(|| link.odd(range))).collect()
}

/// `[first, last, [host, port, ...], ...]`; the first node is the master.
fn parse(range: &Value, asked: &Address) -> Option<(u16, u16, Address)> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice() else { return None };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    // A node that doesn't know its own name is where it was asked.
    let host = if host.is_empty() || host == "?" { asked.host.clone() } else { host };
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, Address::new(host, u16::try_from(*port).ok()?)))
}

/// The slot of a key: CRC-16 (XMODEM) of its hash tag, or of all of it.
fn slot_of(name: &str) -> u16 {
    let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(name);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // "123456789" has the CRC 0x31C3.
        assert_eq!(slot_of("123456789"), 0x31C3 % SLOTS);
        assert_eq!(slot_of("{123456789}:queue"), 0x31C3 % SLOTS);
        assert_eq!(slot_of("foo"), 12_182);
        assert_ne!(slot_of("{}foo"), slot_of("foo"));
    }
}

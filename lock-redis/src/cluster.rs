//! A Redis Cluster: which node has which lock.
//!
//! The driver's own cluster client sends writes again by itself, and mixes the messages of all nodes. Here every node is
//! a link like that of a single server, so that limits, errors and messages are the same; what is left is a table.

mod slots;
mod way;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connector::{Address, Connector, Settings};
use crate::error::Failure;
use crate::inbox::Inbox;
use crate::names::{LockNames, Names};
use crate::node::Node;
use crate::shared::Replication;
use slots::{Range, ask, master_in, slot_of};
use way::Way;

/// How many nodes are asked at once which has which slots, and after how long without an answer so many more.
const AT_ONCE: usize = 4;
const HEAD_START: Duration = Duration::from_millis(250);

/// The nodes that were met, and the slots of each.
pub(crate) struct Cluster {
    settings: Arc<Settings>,
    names: Names,
    inbox: Arc<Inbox>,
    replication: Option<Replication>,
    /// The nodes that were named, to be asked when nobody else is known.
    seeds: Vec<Address>,
    map: Mutex<Map>,
    /// For each slot that somebody waited in, this client's channel there.
    channels: Mutex<HashMap<u16, String>>,
    /// What the nodes answered last. Who holds this asks them, for all who need to know.
    learnt: tokio::sync::Mutex<Option<Learnt>>,
}

type Learnt = Result<Arc<[Range]>, Failure>;

#[derive(Default)]
struct Map {
    nodes: HashMap<Address, Arc<Node>>,
    /// Without those of masters that couldn't be reached.
    ranges: Vec<Range>,
    /// How often the nodes were asked, whatever came of it.
    asked: usize,
}

impl Cluster {
    pub(crate) fn new(
        seeds: Vec<Address>,
        settings: Arc<Settings>,
        names: Names,
        inbox: Arc<Inbox>,
        replication: Option<Replication>,
    ) -> Self {
        let (channels, learnt) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { settings, names, inbox, replication, seeds, map: Mutex::default(), channels, learnt }
    }

    /// This client's channel for waiters of a lock. All locks of a slot share one, named after the first that somebody
    /// waited for: so channels that are kept for the next wait are no more than slots, whatever the number of locks.
    pub(crate) fn channel_of(&self, names: &LockNames) -> String {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(slot_of(&names.lock)).or_insert_with(|| self.names.shard_channel(names)).clone()
    }

    /// The way to a lock's master, which may have moved.
    pub(crate) fn way_to(&self, names: &LockNames) -> Way<'_> {
        Way::new(self, slot_of(&names.lock))
    }

    /// The masters, all of them.
    pub(crate) async fn masters(&self) -> Result<Vec<Arc<Node>>, Failure> {
        let asked = self.map().asked;
        let ranges = self.learn(asked).await?;
        let mut addresses: Vec<_> = ranges.iter().map(|(_, _, address)| address).collect();
        addresses.sort_by_key(ToString::to_string);
        addresses.dedup();
        Ok(addresses.into_iter().map(|address| self.node(address)).collect())
    }

    async fn master_of(&self, slot: u16) -> Result<Address, Failure> {
        let asked = {
            let map = self.map();
            if let Some(address) = master_in(&map.ranges, slot) {
                return Ok(address);
            }
            map.asked
        };
        let ranges = self.learn(asked).await?;
        master_in(&ranges, slot).ok_or_else(|| Failure::NoMaster { to: self.shown().into(), slot })
    }

    /// Asks the nodes which has which slots.
    pub(crate) async fn open(&self) -> Result<(), Failure> {
        self.learn(0).await.map(|_| ())
    }

    /// Asks the nodes which has which slots, unless somebody has done so since the nodes were `asked` so many times.
    async fn learn(&self, asked: usize) -> Learnt {
        let mut learnt = self.learnt.lock().await;
        if let Some(learnt) = &*learnt
            && self.map().asked > asked
        {
            return learnt.clone();
        }
        let limit = self.settings.limit;
        let result = self.ask_all(limit).await;
        if let Ok(ranges) = &result {
            for (_, _, master) in &**ranges {
                self.node(master);
            }
        }
        let mut map = self.map();
        map.asked += 1;
        if let Ok(ranges) = &result {
            // Nodes that have left keep no connection.
            map.nodes.retain(|address, _| {
                self.seeds.contains(address) || ranges.iter().any(|(_, _, master)| master == address)
            });
            map.ranges = ranges.to_vec();
        }
        drop(map);
        *learnt = Some(result.clone());
        result
    }

    /// The first good answer. Several are asked at once, and more when those say nothing: one that hangs costs a head
    /// start, and one that is slow may still answer.
    async fn ask_all(&self, limit: Duration) -> Learnt {
        let mut candidates = self.candidates().into_iter();
        let mut answers = JoinSet::new();
        let mut failed = None;
        let ask_all = async {
            loop {
                for address in candidates.by_ref().take(AT_ONCE) {
                    let node = self.node(&address);
                    answers.spawn(async move { ask(node.commands(), &address).await });
                }
                match timeout(HEAD_START, answers.join_next()).await {
                    Ok(Some(Ok(Ok(ranges)))) => return Some(ranges.into()),
                    Ok(Some(Ok(Err(failure)))) => failed = Some(failure),
                    Ok(None) => return None,
                    // A task that panicked tells nothing.
                    Ok(Some(Err(_))) | Err(_) => {}
                }
            }
        };
        match timeout(limit, ask_all).await {
            Ok(Some(ranges)) => Ok(ranges),
            // What a node said tells more than that others said nothing.
            _ => Err(failed.unwrap_or_else(|| Failure::NotConnectedWithin { to: self.shown().into(), limit })),
        }
    }

    /// Whom to ask: first those with a connection, the others in turn, so that not the same ones hang each time.
    fn candidates(&self) -> Vec<Address> {
        let map = self.map();
        let mut all = self.seeds.clone();
        let met: Vec<_> = map.nodes.keys().filter(|address| !all.contains(address)).cloned().collect();
        all.extend(met);
        let turn = map.asked * AT_ONCE % all.len().max(1);
        all.rotate_left(turn);
        all.sort_by_key(|address| !map.nodes.get(address).is_some_and(|node| node.commands().is_live()));
        all
    }

    fn node(&self, address: &Address) -> Arc<Node> {
        let make = || {
            let connect = || Connector::to_server(self.settings.clone(), address.clone());
            Arc::new(Node::with_ears(&connect, &self.names, &self.inbox, self.replication))
        };
        self.map().nodes.entry(address.clone()).or_insert_with(make).clone()
    }

    fn shown(&self) -> String {
        let list: Vec<_> = self.seeds.iter().map(Address::to_string).collect();
        format!("the cluster {}", list.join(","))
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where the locks are: on one server, on whichever server is the master, or spread over a cluster.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};

use crate::cluster::Cluster;
use crate::connector::{Connector, Servers, Settings};
use crate::error::Failure;
use crate::inbox::Inbox;
use crate::link::Link;
use crate::names::{LockNames, Names};
use crate::node::Node;
use crate::scripts::Step;
use crate::shared::Replication;

/// What the steps of a lock need of the servers.
pub(crate) enum Topology {
    /// One server at a time: a fixed one, or the master that the sentinels name.
    One(Node),
    /// Several masters, each with some of the locks.
    Cluster(Box<Cluster>),
}

/// Calls a lock's master in a cluster, and the one that has the lock instead should it have moved.
macro_rules! on_master {
    ($cluster:ident, $names:ident, $node:ident => $call:expr) => {{
        let mut way = $cluster.way_to($names);
        loop {
            match way.node().await {
                Ok($node) => {
                    if let Some(answer) = way.judge($call.await) {
                        break answer;
                    }
                }
                Err(failure) => break Err(failure),
            }
        }
    }};
}

impl Topology {
    pub(crate) fn new(
        servers: Servers,
        settings: &Arc<Settings>,
        names: &Names,
        inbox: &Arc<Inbox>,
        replication: Option<Replication>,
    ) -> Self {
        match servers {
            Servers::One(address) => {
                let connect = || Connector::to_server(settings.clone(), address.clone());
                Self::One(Node::new(&connect, names, inbox, replication))
            }
            Servers::Sentinel(sentinels, name) => {
                let connect = || Connector::to_master(settings, &sentinels, &name);
                Self::One(Node::new(&connect, names, inbox, replication))
            }
            Servers::Cluster(seeds) => {
                let cluster = Cluster::new(seeds, settings.clone(), names.clone(), inbox.clone(), replication);
                Self::Cluster(Box::new(cluster))
            }
        }
    }

    /// Connects, so that a wrong address or password is told at once.
    pub(crate) async fn open(&self) -> Result<(), Failure> {
        match self {
            Self::One(node) => node.commands().open().await.map(|_| ()),
            Self::Cluster(cluster) => cluster.open().await,
        }
    }

    /// Runs a step of one lock.
    pub(crate) async fn run(&self, step: &Step, names: &LockNames, arguments: &[&[u8]]) -> Result<Value, Failure> {
        match self {
            Self::One(node) => node.run(step, names, arguments).await,
            Self::Cluster(cluster) => {
                boxed(async { on_master!(cluster, names, node => node.run(step, names, arguments)) }).await
            }
        }
    }

    /// Runs a step by itself, for no longer than `limit`: one that must not wait for others. While a slot moves, the lock is
    /// looked for at both masters, if the step needs no other key.
    pub(crate) async fn run_alone(
        &self,
        step: &Step,
        names: &LockNames,
        arguments: &[&[u8]],
        limit: Duration,
    ) -> Result<Value, Failure> {
        let cluster = match self {
            Self::One(node) => return node.run_alone(step, names, arguments, limit, false).await,
            Self::Cluster(cluster) => cluster,
        };
        boxed(async {
            let mut way = cluster.way_to(names).that_may_ask();
            loop {
                let node = way.node().await?;
                let answer = node.run_alone(step, names, arguments, limit, way.asks()).await;
                if let Some(answer) = way.judge(answer) {
                    return answer;
                }
            }
        })
        .await
    }

    /// Runs a step of one lock; also says how many replicas have what it wrote, `None` where nobody asked for that.
    pub(crate) async fn run_replicated(
        &self,
        step: &Step,
        names: &LockNames,
        arguments: &[&[u8]],
    ) -> Result<(Value, Option<i64>), Failure> {
        match self {
            Self::One(node) => node.run_replicated(step, names, arguments).await,
            Self::Cluster(cluster) => {
                boxed(async { on_master!(cluster, names, node => node.run_replicated(step, names, arguments)) }).await
            }
        }
    }

    /// Sends plain commands on keys of one lock.
    pub(crate) async fn send_all(&self, names: &LockNames, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        match self {
            Self::One(node) => node.commands().send_all(commands).await,
            Self::Cluster(cluster) => on_master!(cluster, names, node => node.commands().send_all(commands)),
        }
    }

    /// Whether this client hears of its turn without having asked for it.
    pub(crate) fn hears_already(&self) -> bool {
        // Its own channel is subscribed with every connection.
        matches!(self, Self::One(_))
    }

    /// Sees to it that this client hears what is published to waiters of the lock; answers the channel.
    pub(crate) async fn listen(&self, names: &Names, lock: &LockNames) -> Result<String, Failure> {
        match self {
            Self::One(_) => Ok(names.channel().to_owned()),
            Self::Cluster(cluster) => {
                let channel = cluster.channel_of(lock);
                let heard: Result<(), Failure> = on_master!(cluster, lock, node => node.hear(&channel));
                heard.map(|()| channel)
            }
        }
    }

    /// The servers that have locks.
    pub(crate) async fn masters(&self) -> Result<Vec<Arc<Link>>, Failure> {
        match self {
            Self::One(node) => {
                node.commands().open().await?;
                Ok(vec![node.commands().clone()])
            }
            Self::Cluster(cluster) => Ok(cluster.masters().await?.iter().map(|node| node.commands().clone()).collect()),
        }
    }

    /// The command that wakes a waiter.
    pub(crate) fn publishes_with(&self) -> &'static str {
        match self {
            Self::One(_) => "PUBLISH",
            // PUBLISH would count the listeners of one node, and bother all nodes.
            Self::Cluster(_) => "SPUBLISH",
        }
    }
}

/// A way that few calls take, in an allocation of its own: each call's future has room for the longest way in it.
pub(crate) fn boxed<'a, T>(way: impl Future<Output = T> + Send + 'a) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(way)
}

//! One server, and what of a lock's steps goes over which of its connections.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value, cmd, pipe};

use crate::connector::Connector;
use crate::ears::Ears;
use crate::error::Failure;
use crate::inbox::Inbox;
use crate::link::Link;
use crate::names::{LockNames, Names};
use crate::replicated::Replicated;
use crate::scripts::Step;
use crate::shared::Replication;
use crate::topology::boxed;

/// The connections to one server.
pub(crate) struct Node {
    /// Commands, and this client's channel.
    commands: Arc<Link>,
    /// In a cluster: the channels of slots in which somebody waits.
    ears: Option<Ears>,
    /// Acquires that wait for replicas.
    replicated: Option<Arc<Replicated>>,
}

impl Node {
    pub(crate) fn new(
        connect: &dyn Fn() -> Connector,
        names: &Names,
        inbox: &Arc<Inbox>,
        replication: Option<Replication>,
    ) -> Self {
        let commands = Link::new(connect(), inbox.clone(), Some(names.channel().to_owned()));
        let replicated =
            replication.map(|replication| Replicated::new(Link::new(connect(), inbox.clone(), None), replication));
        Self { commands, ears: None, replicated }
    }

    /// A node of a cluster.
    pub(crate) fn with_ears(
        connect: &dyn Fn() -> Connector,
        names: &Names,
        inbox: &Arc<Inbox>,
        replication: Option<Replication>,
    ) -> Self {
        let ears = Some(Ears::new(Link::new(connect(), inbox.clone(), None)));
        Self { ears, ..Self::new(connect, names, inbox, replication) }
    }

    pub(crate) fn commands(&self) -> &Arc<Link> {
        &self.commands
    }

    pub(crate) async fn hear(&self, channel: &str) -> Result<(), Failure> {
        match &self.ears {
            Some(ears) => ears.hear(channel).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn run(&self, step: &Step, names: &LockNames, arguments: &[&[u8]]) -> Result<Value, Failure> {
        // Boxed by itself: with it, the backend's own future would be too long for the allocator's fast way (1 KiB).
        match boxed(self.commands.call(step.by_hash(names, arguments))).await {
            Err(failure) if failure.code() == Some("NOSCRIPT") => {
                boxed(self.commands.call(step.by_text(names, arguments))).await
            }
            answer => answer,
        }
    }

    /// If it `asks`, this node serves a slot that isn't its own yet.
    pub(crate) async fn run_alone(
        &self,
        step: &Step,
        names: &LockNames,
        arguments: &[&[u8]],
        limit: Duration,
        asks: bool,
    ) -> Result<Value, Failure> {
        let limit = limit.min(self.commands.limit());
        match boxed(self.send_alone(step.by_hash(names, arguments), limit, asks)).await {
            Err(failure) if failure.code() == Some("NOSCRIPT") => {
                boxed(self.send_alone(step.by_text(names, arguments), limit, asks)).await
            }
            answer => answer,
        }
    }

    async fn send_alone(&self, command: Cmd, limit: Duration, asks: bool) -> Result<Value, Failure> {
        if !asks {
            return self.commands.send_within(&command, limit).await;
        }
        let mut commands = pipe();
        commands.add_command(cmd("ASKING")).add_command(command);
        let answers = self.commands.send_each(&commands, limit).await?;
        answers.into_iter().nth(1).unwrap_or_else(|| Err(self.commands.odd(&"nothing")))
    }

    pub(crate) async fn run_replicated(
        &self,
        step: &Step,
        names: &LockNames,
        arguments: &[&[u8]],
    ) -> Result<(Value, Option<i64>), Failure> {
        let Some(replicated) = &self.replicated else {
            return Ok((self.run(step, names, arguments).await?, None));
        };
        match boxed(replicated.run(step.by_hash(names, arguments))).await {
            Err(failure) if failure.code() == Some("NOSCRIPT") => {
                boxed(replicated.run(step.by_text(names, arguments))).await
            }
            answer => answer,
        }
    }
}

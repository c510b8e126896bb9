//! The channels of locks, on one node of a cluster.
//!
//! A lock's channel is in the lock's slot (sharded pub/sub): so the node that frees the lock knows who hears it, and no
//! other node is bothered. They have a connection of their own: when a slot moves, the server ends its subscriptions
//! without being asked, which the driver takes for an answer to whatever was asked last.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use redis::cmd;

use crate::error::Failure;
use crate::inbox::Inbox;
use crate::link::Link;

/// Subscriptions are kept for the next wait. Past so many, when nobody waits, the connection is made anew without them.
const KEPT: usize = 1_000;

/// The subscriptions of one connection.
pub(crate) struct Ears {
    link: Arc<Link>,
    inbox: Arc<Inbox>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// The connection that has the subscriptions.
    connection: u64,
    channels: HashSet<String>,
}

impl Ears {
    pub(crate) fn new(link: Arc<Link>, inbox: Arc<Inbox>) -> Self {
        Self { link, inbox, heard: Mutex::default() }
    }

    /// Returns once messages on `channel` reach the inbox.
    pub(crate) async fn hear(&self, channel: &str) -> Result<(), Failure> {
        let connection = self.link.open().await?;
        if !self.is_new(connection, channel) {
            return Ok(());
        }
        self.link.send(cmd("SSUBSCRIBE").arg(channel)).await?;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // On a connection that was lost meanwhile it is of no use.
        if heard.connection == connection {
            heard.channels.insert(channel.to_owned());
        }
        Ok(())
    }

    fn is_new(&self, connection: u64, channel: &str) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.connection != connection {
            *heard = Heard { connection, channels: HashSet::new() };
        } else if heard.channels.len() >= KEPT && self.inbox.waiting() == 0 {
            self.link.drop_connection();
            heard.channels.clear();
        }
        !heard.channels.contains(channel)
    }
}

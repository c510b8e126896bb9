//! The channels of locks, on one node of a cluster.
//!
//! A lock's channel is in the lock's slot (sharded pub/sub): so the node that frees the lock knows who hears it, and no
//! other node is bothered. They have a connection of their own: when a slot moves, the server ends its subscriptions
//! without being asked, which the driver takes for an answer to whatever was asked last.
//!
//! Nothing but messages comes on that connection, so its silence says nothing. While somebody waits, it is made to
//! answer now and then.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::cmd;

use crate::error::Failure;
use crate::link::Link;

/// How long a subscription is relied upon without another sign of life. One that is dead costs those who wait a look
/// each time, until this long and a call's limit have passed.
const RELIED_UPON: Duration = Duration::from_secs(2);

/// The subscriptions of one connection.
pub(crate) struct Ears {
    link: Arc<Link>,
    heard: Mutex<Heard>,
}

struct Heard {
    /// The connection that has the subscriptions.
    connection: u64,
    /// Kept for the next wait. Locks of one slot share a channel, so there are no more than slots.
    channels: HashSet<String>,
    /// When the connection was last asked for an answer.
    asked: Instant,
}

/// What is known of a channel.
enum Known {
    /// It isn't subscribed.
    Unheard,
    /// It is, and the connection lived a moment ago.
    Heard,
    /// It is, and it is time to see whether the connection lives.
    Due,
}

impl Ears {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let heard = Heard { connection: 0, channels: HashSet::new(), asked: Instant::now() };
        Self { link, heard: Mutex::new(heard) }
    }

    /// Returns once messages on `channel` reach the inbox, as far as is known.
    pub(crate) async fn hear(&self, channel: &str) -> Result<(), Failure> {
        let connection = self.link.open().await?;
        match self.look_up(connection, channel) {
            Known::Heard => return Ok(()),
            Known::Due => {
                self.prove(channel.to_owned());
                return Ok(());
            }
            Known::Unheard => {}
        }
        self.link.send(cmd("SSUBSCRIBE").arg(channel)).await?;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // On a connection that was lost meanwhile it is of no use.
        if heard.connection == connection {
            heard.channels.insert(channel.to_owned());
        }
        Ok(())
    }

    fn look_up(&self, connection: u64, channel: &str) -> Known {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.connection != connection {
            *heard = Heard { connection, channels: HashSet::new(), asked: Instant::now() };
        }
        if !heard.channels.contains(channel) {
            return Known::Unheard;
        }
        if heard.asked.elapsed() < RELIED_UPON {
            return Known::Heard;
        }
        heard.asked = Instant::now();
        Known::Due
    }

    /// Subscribes once more, which changes nothing. Without an answer in time the link gives the connection up, and all
    /// who wait subscribe anew. In a task of its own: meanwhile they look for themselves.
    fn prove(&self, channel: String) {
        let link = self.link.clone();
        tokio::spawn(async move {
            if let Err(failure) = link.send(cmd("SSUBSCRIBE").arg(channel)).await {
                tracing::debug!(%failure, "a connection of subscriptions is given up");
            }
        });
    }
}

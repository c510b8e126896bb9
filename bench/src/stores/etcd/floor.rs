//! The bare driver with nothing on top.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use async_trait::async_trait;
use etcd_client::{EventType, WatchStream};

use super::endpoint;
use crate::contest::{Client, Contestant, Held, Kind, Lack, Place, Role, Signal, Way};

pub(super) async fn connect(place: &Place) -> Result<etcd_client::Client> {
    Ok(etcd_client::Client::connect([endpoint(place)], None).await?)
}

/// Two commits, which no lock that others can see does without.
pub(crate) fn put_and_delete() -> Contestant {
    const NO_LOCK: &str = "it excludes nobody";
    Contestant {
        name: "put + delete",
        role: Role::Floor,
        lacks: &[Lack::Metadata, Lack::HangTakeover, Lack::Renewal, Lack::LossNotice],
        note: "by the same driver; it excludes nobody",
        way: Way::Client(|place| Box::pin(async move { Ok(Arc::new(Put(connect(&place).await?)) as Arc<dyn Client>) })),
        skips: &[
            (Kind::Handoff, NO_LOCK),
            (Kind::Heartbeats, "nothing is renewed"),
            (Kind::Recovery, NO_LOCK),
            (Kind::Waiting, NO_LOCK),
        ],
    }
}

struct Put(etcd_client::Client);

struct Written {
    client: etcd_client::Client,
    key: String,
}

#[async_trait]
impl Client for Put {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let mut client = self.0.clone();
        client.put(key, "x", None).await?;
        Ok(Box::new(Written { client, key: key.to_owned() }))
    }
}

#[async_trait]
impl Held for Written {
    async fn release(mut self: Box<Self>) -> Result<()> {
        let key = std::mem::take(&mut self.key);
        self.client.delete(key, None).await?;
        Ok(())
    }
}

/// From the call that deletes a key to another connection's watch that tells of it.
pub(crate) fn delete_to_event() -> Contestant {
    const SIGNAL: &str = "a signal, not a lock";
    Contestant {
        name: "delete to watch event",
        role: Role::Floor,
        lacks: &[],
        note: SIGNAL,
        way: Way::Signal(|place| {
            Box::pin(async move {
                let watch = connect(&place).await?.watch(place.tag.as_str(), None).await?;
                let deleter = connect(&place).await?;
                Ok(Box::new(Deletion { deleter, watch, key: place.tag }) as Box<dyn Signal>)
            })
        }),
        skips: &[
            (Kind::Uncontended, SIGNAL),
            (Kind::Throughput, SIGNAL),
            (Kind::Heartbeats, SIGNAL),
            (Kind::Recovery, SIGNAL),
            (Kind::Waiting, SIGNAL),
        ],
    }
}

struct Deletion {
    deleter: etcd_client::Client,
    watch: WatchStream,
    key: String,
}

#[async_trait]
impl Signal for Deletion {
    async fn signal(&mut self) -> Result<Duration> {
        self.deleter.put(self.key.as_str(), "x", None).await?;
        let began = Instant::now();
        let deleting = self.deleter.delete(self.key.as_str(), None);
        let hearing = async {
            while let Some(told) = self.watch.message().await? {
                if told.events().iter().any(|event| event.event_type() == EventType::Delete) {
                    return Ok(began.elapsed());
                }
            }
            bail!("the watch ended")
        };
        let (deleted, heard) = tokio::join!(deleting, hearing);
        deleted?;
        heard
    }
}

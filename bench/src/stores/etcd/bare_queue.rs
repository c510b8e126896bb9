//! A queue of bare keys by the bare driver: the floor of a hand-off among contenders that come back at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use etcd_client::{
    EventType, GetOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse, WatchResponse, WatchStream,
};

use super::floor::connect;
use crate::contest::{Client, Contestant, Held, Kind, Lack, Place, Role, Way};

/// A key each, in the order of their creation, and an eye on the one before.
pub(crate) fn bare_queue() -> Contestant {
    const NOT_ALONE: &str = "for one that is alone, put + delete is the floor";
    Contestant {
        name: "queue of bare keys",
        role: Role::Floor,
        lacks: &[Lack::Metadata, Lack::HangTakeover, Lack::Renewal, Lack::LossNotice],
        note: "a key is put, the one before it is watched, the own one is deleted; no leases, so that who dies is waited \
               for for ever; the same load as on the locks",
        way: Way::Client(|place| {
            Box::pin(async move { Ok(Arc::new(Queue::connect(&place).await?) as Arc<dyn Client>) })
        }),
        skips: &[
            (Kind::Uncontended, NOT_ALONE),
            (Kind::Throughput, NOT_ALONE),
            (Kind::Heartbeats, "nothing is renewed"),
            (Kind::Recovery, "who dies is waited for for ever"),
            (Kind::Waiting, NOT_ALONE),
        ],
    }
}

struct Queue {
    client: etcd_client::Client,
    /// Streams of those who don't wait at present.
    idle: Mutex<Vec<WatchStream>>,
}

struct Left {
    client: etcd_client::Client,
    key: String,
}

impl Queue {
    async fn connect(place: &Place) -> Result<Self> {
        Ok(Self { client: connect(place).await?, idle: Mutex::default() })
    }

    /// Waits until this key is gone.
    async fn outlast(&self, key: Vec<u8>) -> Result<()> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stream = match idle {
            Some(mut stream) => {
                stream.watch(key.clone(), None).await?;
                stream
            }
            None => self.client.clone().watch(key.clone(), None).await?,
        };
        let id = next(&mut stream, WatchResponse::created).await?.watch_id();
        // It may have gone before it was watched. (A watch from a past revision is served by the server's slow loop, every
        // 100 ms.)
        let options = GetOptions::new().with_keys_only();
        if !self.client.clone().get(key, Some(options)).await?.kvs().is_empty() {
            next(&mut stream, |told| told.watch_id() == id && tells_of_a_deletion(told)).await?;
        }
        stream.cancel(id).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        Ok(())
    }
}

/// The next message of this kind. Others are about watches that have been cancelled.
async fn next(stream: &mut WatchStream, is_it: impl Fn(&WatchResponse) -> bool) -> Result<WatchResponse> {
    loop {
        let told = stream.message().await?.context("the watch ended")?;
        if is_it(&told) {
            return Ok(told);
        }
    }
}

fn tells_of_a_deletion(told: &WatchResponse) -> bool {
    told.events().iter().any(|event| event.event_type() == EventType::Delete)
}

#[async_trait]
impl Client for Queue {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        /// Of all clients of this process.
        static LAST: AtomicU64 = AtomicU64::new(0);
        let queue = format!("{key}/");
        let own = format!("{queue}{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let last_two = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Create, SortOrder::Descend)
            .with_limit(2)
            .with_keys_only();
        let join = Txn::new().and_then([TxnOp::put(own.as_str(), "", None), TxnOp::get(queue, Some(last_two))]);
        let joined = self.client.clone().txn(join).await?;
        let Some(TxnOpResponse::Get(seen)) = joined.op_responses().pop() else {
            anyhow::bail!("no answer to the read")
        };
        if let Some(before) = seen.kvs().get(1) {
            self.outlast(before.key().to_vec()).await?;
        }
        Ok(Box::new(Left { client: self.client.clone(), key: own }))
    }
}

#[async_trait]
impl Held for Left {
    async fn release(mut self: Box<Self>) -> Result<()> {
        let key = std::mem::take(&mut self.key);
        self.client.delete(key, None).await?;
        Ok(())
    }
}

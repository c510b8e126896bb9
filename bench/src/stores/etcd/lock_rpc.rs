//! The server's own lock, as the driver offers it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use etcd_client::LockOptions;

use super::floor::connect;
use crate::contest::{Client, Connecting, Contestant, Held, Kind, Lack, Place, Role, Way};

const LACKS: &[Lack] = &[Lack::Metadata, Lack::Renewal, Lack::LossNotice];
const NOT_RENEWED: (Kind, &str) = (Kind::Heartbeats, "nothing is renewed");

/// As the driver's example does it: `unlock`, and the lease is kept for the next lock.
pub(crate) fn lock_rpc() -> Contestant {
    Contestant {
        name: "etcd-client's lock",
        role: Role::Peer,
        lacks: LACKS,
        note: "the server's Lock and Unlock; a contender's lease is kept for its next lock; keeping the lease alive is \
               left to the caller",
        way: Way::Client(|place| connecting(place, true)),
        skips: &[NOT_RENEWED],
    }
}

/// For those who have no lease to keep: the lock ends with a lease of its own.
pub(crate) fn a_lease_each() -> Contestant {
    Contestant {
        name: "etcd-client's lock, a lease each",
        role: Role::Peer,
        lacks: LACKS,
        note: "the server's Lock, with a lease that is made for it and revoked at its end",
        way: Way::Client(|place| connecting(place, false)),
        skips: &[NOT_RENEWED, (Kind::Waiting, "the same as with a lease that is kept")],
    }
}

fn connecting(place: Place, keeps: bool) -> Connecting {
    Box::pin(async move {
        let ttl = i64::try_from(place.ttl_ms.div_ceil(1_000))?;
        let idle = keeps.then(Idle::default);
        Ok(Arc::new(LockRpc { client: connect(&place).await?, ttl, idle }) as Arc<dyn Client>)
    })
}

/// Leases that hold nothing: one lease is one contender.
type Idle = Arc<Mutex<Vec<i64>>>;

struct LockRpc {
    client: etcd_client::Client,
    ttl: i64,
    idle: Option<Idle>,
}

struct Locked {
    client: etcd_client::Client,
    lease: i64,
    key: Vec<u8>,
    idle: Option<Idle>,
}

#[async_trait]
impl Client for LockRpc {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let mut client = self.client.clone();
        let idle = self.idle.as_ref().and_then(|idle| idle.lock().unwrap_or_else(PoisonError::into_inner).pop());
        let mut lease = match idle {
            Some(lease) => lease,
            None => client.lease_grant(self.ttl, None).await?.id(),
        };
        // Nobody renews the lease of one that waits, or of none: with a new one it stands at the end of the queue.
        let key = loop {
            let options = LockOptions::new().with_lease(lease);
            match client.lock(key, Some(options)).await {
                Ok(locked) => break locked.key().to_vec(),
                Err(_) => lease = client.lease_grant(self.ttl, None).await?.id(),
            }
        };
        Ok(Box::new(Locked { client, lease, key, idle: self.idle.clone() }))
    }
}

#[async_trait]
impl Held for Locked {
    async fn release(self: Box<Self>) -> Result<()> {
        let Self { mut client, lease, key, idle } = *self;
        match idle {
            Some(idle) => {
                client.unlock(key).await?;
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
            }
            None => {
                client.lease_revoke(lease).await?;
            }
        }
        Ok(())
    }
}

//! The server's own lock, as the driver offers it.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use etcd_client::LockOptions;

use super::floor::connect;
use crate::contest::{Client, Contestant, Held, Kind, Lack, Role, Way};

/// With a lease for each lock: one lease is one contender.
pub(crate) fn lock_rpc() -> Contestant {
    Contestant {
        name: "etcd-client's lock",
        role: Role::Peer,
        lacks: &[Lack::Metadata, Lack::Renewal, Lack::LossNotice],
        note: "the server's Lock RPC, with a lease for each lock that is revoked at the end; keeping the lease alive is \
               left to the caller",
        way: Way::Client(|place| {
            Box::pin(async move {
                let ttl = i64::try_from(place.ttl_ms.div_ceil(1_000))?;
                Ok(Arc::new(LockRpc { client: connect(&place).await?, ttl }) as Arc<dyn Client>)
            })
        }),
        skips: &[(Kind::Heartbeats, "nothing is renewed")],
    }
}

struct LockRpc {
    client: etcd_client::Client,
    ttl: i64,
}

struct Locked {
    client: etcd_client::Client,
    lease: i64,
}

#[async_trait]
impl Client for LockRpc {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let mut client = self.client.clone();
        let mut lease = client.lease_grant(self.ttl, None).await?.id();
        let options = |lease| Some(LockOptions::new().with_lease(lease));
        // Nobody renews the lease of one that waits: with a new one it stands at the end of the queue again.
        while client.lock(key, options(lease)).await.is_err() {
            lease = client.lease_grant(self.ttl, None).await?.id();
        }
        Ok(Box::new(Locked { client, lease }))
    }
}

#[async_trait]
impl Held for Locked {
    async fn release(mut self: Box<Self>) -> Result<()> {
        let lease = self.lease;
        self.client.lease_revoke(lease).await?;
        Ok(())
    }
}

//! Distlock itself, through its public API.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use distlock::{LockGuard, Supervisor};

use super::{Client, Connecting, Contestant, Held, Place, Role, Way};
use crate::results::OURS;

/// Distlock, on whatever store the place names.
pub(crate) fn ours() -> Contestant {
    Contestant { name: OURS, role: Role::Ours, lacks: &[], note: "", way: Way::Client(connect), skips: &[] }
}

fn connect(place: Place) -> Connecting {
    Box::pin(async move {
        let locks = distlock::connect(&place.url).await?;
        Ok(Arc::new(Ours { locks, ttl: place.ttl() }) as Arc<dyn Client>)
    })
}

pub(crate) struct Ours {
    pub(crate) locks: Supervisor,
    pub(crate) ttl: Duration,
}

#[async_trait]
impl Client for Ours {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        Ok(Box::new(Guard(self.locks.lock(key).ttl(self.ttl).acquire().await?)))
    }
}

struct Guard(LockGuard);

#[async_trait]
impl Held for Guard {
    async fn release(self: Box<Self>) -> Result<()> {
        Ok(self.0.release().await?)
    }

    fn is_held(&self) -> bool {
        self.0.is_held()
    }
}

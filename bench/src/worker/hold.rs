//! One that holds a lock, and one that waits for it.

use std::time::Duration;

use anyhow::Result;

use super::{Connecting, ready, say};
use crate::figures::monotonic_ns;

const FOR_EVER: Duration = Duration::from_secs(3600);

/// Holds until it is killed.
pub(crate) async fn hold(connecting: Connecting, key: &str) -> Result<()> {
    let client = connecting.await?;
    let held = client.acquire(key).await?;
    ready()?;
    tokio::time::sleep(FOR_EVER).await;
    held.release().await
}

/// Says when it was granted.
pub(crate) async fn wait(connecting: Connecting, key: &str) -> Result<()> {
    let client = connecting.await?;
    ready()?;
    let held = client.acquire(key).await?;
    say(&monotonic_ns().to_string());
    tokio::time::sleep(FOR_EVER).await;
    held.release().await
}

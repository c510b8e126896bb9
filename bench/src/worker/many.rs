//! Many locks held and renewed by one client.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Connecting, answer, ready};
use crate::process::{raise_file_limit, resident};

/// How many are acquired at once.
const AT_ONCE: u64 = 64;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    locks: u64,
}

/// What the driver can't see from outside.
#[derive(Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) acquired_in_s: f64,
    /// Before the first lock.
    pub(crate) resident_before: u64,
    pub(crate) renewed: u64,
}

/// Acquires, says it is ready, and holds until it is told to go on; answers with [`Held`], and releases.
pub(crate) async fn run(connecting: Connecting, tag: &str, options: &Options) -> Result<()> {
    let files = raise_file_limit();
    let client = connecting.await?;
    client.acquire(&format!("{tag}-first")).await?.release().await?;
    let resident_before = resident(std::process::id())?;
    let began = Instant::now();
    let mut guards = Vec::with_capacity(usize::try_from(options.locks)?);
    let mut acquiring = JoinSet::new();
    for number in 0..options.locks {
        let (client, key) = (client.clone(), format!("{tag}-{number}"));
        acquiring.spawn(async move { client.acquire(&key).await });
        while acquiring.len() as u64 >= AT_ONCE {
            let acquired = acquiring.join_next().await.context("some are under way")?;
            guards.push(acquired?.with_context(|| format!("with {files} files at most"))?);
        }
    }
    while let Some(acquired) = acquiring.join_next().await {
        guards.push(acquired??);
    }
    let acquired_in_s = began.elapsed().as_secs_f64();
    // The runtime must go on renewing while this waits.
    tokio::task::spawn_blocking(ready).await??;
    let renewed = guards.iter().filter(|guard| guard.is_held()).count() as u64;
    answer(&Held { acquired_in_s, resident_before, renewed })?;
    // The next turn's server should have nothing left to do.
    let mut releasing = JoinSet::new();
    for guard in guards {
        releasing.spawn(guard.release());
        while releasing.len() as u64 >= AT_ONCE {
            releasing.join_next().await.context("some are under way")???;
        }
    }
    while let Some(released) = releasing.join_next().await {
        released??;
    }
    super::say("released");
    Ok(())
}

/// Waits for the locks that another worker holds, until it is killed.
pub(crate) async fn wait(connecting: Connecting, tag: &str, options: &Options) -> Result<()> {
    let client = connecting.await?;
    let mut waiting = JoinSet::new();
    for number in 0..options.locks {
        let (client, key) = (client.clone(), format!("{tag}-{number}"));
        waiting.spawn(async move { client.acquire(&key).await });
    }
    tokio::task::spawn_blocking(ready).await??;
    while let Some(acquired) = waiting.join_next().await {
        acquired??.release().await?;
    }
    Ok(())
}

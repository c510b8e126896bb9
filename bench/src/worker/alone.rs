//! Acquire + release of a lock that nobody else wants.

use std::time::Instant;

use anyhow::Result;

use super::{Connecting, answer, ready};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    pairs: u32,
    /// Pairs before those that count [default: a tenth]
    #[arg(long)]
    warm: Option<u32>,
}

/// Answers with the time of each pair, in nanoseconds.
pub(crate) async fn run(connecting: Connecting, key: &str, options: &Options) -> Result<()> {
    let client = connecting.await?;
    for _ in 0..options.warm.unwrap_or(options.pairs.div_ceil(10)) {
        client.acquire(key).await?.release().await?;
    }
    let mut nanos = Vec::with_capacity(options.pairs as usize);
    ready()?;
    for _ in 0..options.pairs {
        let began = Instant::now();
        client.acquire(key).await?.release().await?;
        nanos.push(u64::try_from(began.elapsed().as_nanos())?);
    }
    answer(&nanos)
}

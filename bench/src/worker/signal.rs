//! The way of a signal from one connection to another.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{answer, ready};
use crate::contest::ConnectingSignal;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    ms: u64,
}

/// Before those that count.
const WARM: u32 = 20;

/// Answers with the time of each, in nanoseconds.
pub(crate) async fn run(connecting: ConnectingSignal, options: &Options) -> Result<()> {
    let mut signal = connecting.await?;
    for _ in 0..WARM {
        signal.signal().await?;
    }
    ready()?;
    let mut nanos = Vec::new();
    let until = Instant::now() + Duration::from_millis(options.ms);
    while Instant::now() < until {
        nanos.push(u64::try_from(signal.signal().await?.as_nanos())?);
    }
    answer(&nanos)
}

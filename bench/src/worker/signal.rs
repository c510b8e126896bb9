//! The way of a signal from one connection to another.

use anyhow::Result;

use super::{answer, ready};
use crate::contest::ConnectingSignal;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    signals: u32,
}

/// Answers with the time of each, in nanoseconds.
pub(crate) async fn run(connecting: ConnectingSignal, options: &Options) -> Result<()> {
    let mut signal = connecting.await?;
    for _ in 0..options.signals.div_ceil(10) {
        signal.signal().await?;
    }
    ready()?;
    let mut nanos = Vec::with_capacity(options.signals as usize);
    for _ in 0..options.signals {
        nanos.push(u64::try_from(signal.signal().await?.as_nanos())?);
    }
    answer(&nanos)
}

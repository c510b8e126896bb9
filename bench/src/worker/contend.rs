//! Many tasks that acquire and release: all one key, or each its own.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Connecting, answer, ready};
use crate::figures::monotonic_ns;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    tasks: u32,
    #[arg(long)]
    ms: u64,
    /// How long each holds the lock
    #[arg(long, default_value_t = 0)]
    hold_us: u64,
    /// Each task has a key of its own
    #[arg(long)]
    distinct: bool,
    /// Each task is a client of its own, so that all of them wait at the store
    #[arg(long)]
    apart: bool,
    /// One thread, as there are processes enough for all cores
    #[arg(long)]
    pub(crate) one_thread: bool,
}

/// Answers with a list for each task: when it began to ask, was granted, and began to release, on the clock that
/// processes share.
pub(crate) async fn run(connect: impl Fn() -> Connecting, tag: &str, options: Options) -> Result<()> {
    let client = connect().await?;
    let key = |task| if options.distinct { format!("{tag}-{task}") } else { tag.to_owned() };
    // The first lock of a key costs more, and so does the first of a connection.
    for task in 0..if options.distinct { options.tasks } else { 1 } {
        client.acquire(&key(task)).await?.release().await?;
    }
    let mut clients = vec![client; options.tasks as usize];
    if options.apart {
        for client in &mut clients {
            *client = connect().await?;
            client.acquire(tag).await?.release().await?;
        }
    }
    ready()?;
    let until = Instant::now() + Duration::from_millis(options.ms);
    let mut tasks = Vec::new();
    for (task, client) in (0..).zip(clients) {
        let (key, hold) = (key(task), Duration::from_micros(options.hold_us));
        tasks.push(tokio::spawn(async move {
            let mut turns: Vec<[u64; 3]> = Vec::new();
            while Instant::now() < until {
                let asked = monotonic_ns();
                let guard = client.acquire(&key).await?;
                let granted = monotonic_ns();
                if !hold.is_zero() {
                    tokio::time::sleep(hold).await;
                }
                turns.push([asked, granted, monotonic_ns()]);
                guard.release().await?;
                // A file is locked without ever waiting: other tasks must have their turn all the same.
                tokio::task::yield_now().await;
            }
            anyhow::Ok(turns)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await??);
    }
    answer(&all)
}

//! From a release to the grant of the next in the queue.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::LockOptions;
use testbed::etcd::Etcd;
use tokio::task::JoinSet;

use super::{driver, floor, locks};
use crate::figures::percentile;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds, each of all ways in turn
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// For how many seconds each way runs in a round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How long each holds the lock, in milliseconds
    #[arg(long, default_value_t = 3)]
    hold_ms: u64,
}

/// When a lock was granted, and when its release was called.
type Holds = Arc<Mutex<Vec<(Instant, Instant)>>>;

pub(super) async fn run(server: &Etcd, options: &Options) -> anyhow::Result<()> {
    println!("release to the next grant, each contender with a connection of its own, held {} ms", options.hold_ms);
    println!(
        "  contenders | ours p50 / p99 ms | the server's Lock p50 / p99 ms | delete to event, and a read after it, p50 ms | ours : event | ours : event and read"
    );
    for contenders in [2, 8, 64] {
        let (mut ours, mut theirs, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ratios, mut to_reads, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..options.rounds {
            let mut o = ours_of(server, options, contenders, round).await?;
            let (mut from, mut to) = (driver(server).await?, driver(server).await?);
            let hold = Duration::from_millis(options.hold_ms);
            let (mut e, mut r) = floor::delete_to_event(&mut from, &mut to, 300, hold).await?;
            ratios.push(percentile(&mut o, 50.0) / percentile(&mut e, 50.0));
            to_reads.push(percentile(&mut o, 50.0) / percentile(&mut r, 50.0));
            reads.extend(r);
            ours.extend(o);
            events.extend(e);
            theirs.extend(theirs_of(server, options, contenders, round).await?);
        }
        let ms = |samples: &mut [f64], percent| percentile(samples, percent) / 1e3;
        println!(
            "  {contenders} | {:.2} / {:.2} ({} hand-offs) | {:.2} / {:.2} | {:.2}, {:.2} | {:.2} (min {:.2}, max {:.2}) | {:.2}",
            ms(&mut ours, 50.0),
            ms(&mut ours, 99.0),
            ours.len(),
            ms(&mut theirs, 50.0),
            ms(&mut theirs, 99.0),
            ms(&mut events, 50.0),
            ms(&mut reads, 50.0),
            percentile(&mut ratios, 50.0),
            percentile(&mut ratios, 0.0),
            percentile(&mut ratios, 100.0),
            percentile(&mut to_reads, 50.0),
        );
    }
    Ok(())
}

async fn ours_of(server: &Etcd, options: &Options, contenders: usize, round: u32) -> anyhow::Result<Vec<f64>> {
    let (holds, mut running) = (Holds::default(), JoinSet::new());
    let (hold, until) = (Duration::from_millis(options.hold_ms), Instant::now() + Duration::from_secs(options.seconds));
    for _ in 0..contenders {
        let (locks, holds) = (locks(server)?, holds.clone());
        let key = format!("ours-{contenders}-{round}");
        running.spawn(async move {
            while Instant::now() < until {
                let guard = locks.lock(&key).acquire().await?;
                let granted = Instant::now();
                tokio::time::sleep(hold).await;
                note(&holds, granted);
                guard.release().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(end) = running.join_next().await {
        end??;
    }
    Ok(samples(&holds))
}

async fn theirs_of(server: &Etcd, options: &Options, contenders: usize, round: u32) -> anyhow::Result<Vec<f64>> {
    let (holds, mut running) = (Holds::default(), JoinSet::new());
    let (hold, until) = (Duration::from_millis(options.hold_ms), Instant::now() + Duration::from_secs(options.seconds));
    for _ in 0..contenders {
        let (mut driver, holds) = (driver(server).await?, holds.clone());
        let key = format!("theirs-{contenders}-{round}");
        running.spawn(async move {
            let lease = driver.lease_grant(600, None).await?.id();
            while Instant::now() < until {
                let locked = driver.lock(key.clone(), Some(LockOptions::new().with_lease(lease))).await?;
                let granted = Instant::now();
                tokio::time::sleep(hold).await;
                note(&holds, granted);
                driver.unlock(locked.key()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(end) = running.join_next().await {
        end??;
    }
    Ok(samples(&holds))
}

fn note(holds: &Holds, granted: Instant) {
    holds.lock().unwrap_or_else(PoisonError::into_inner).push((granted, Instant::now()));
}

/// Microseconds from each release to the grant that follows it.
fn samples(holds: &Holds) -> Vec<f64> {
    let mut holds = std::mem::take(&mut *holds.lock().unwrap_or_else(PoisonError::into_inner));
    holds.sort();
    holds.windows(2).map(|pair| (pair[1].0 - pair[0].1).as_secs_f64() * 1e6).collect()
}

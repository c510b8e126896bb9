//! Acquire + release of a lock that nobody else wants.

use std::time::{Duration, Instant};

use rslock::LockManager;
use testbed::redis::RedisServer;

use super::{Floor, driver, supervisor};
use crate::figures::{percentile, rounds};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds, each of all three in turn
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Acquire + release pairs in a round
    #[arg(long, default_value_t = 3_000)]
    pairs: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let server = RedisServer::start(&[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let locks = supervisor(server.port()).await?;
        let mut connection = driver(server.port()).await?;
        let floor = Floor::load(&mut connection).await?;
        let rslock = LockManager::new(vec![server.url()]);
        let (mut ours, mut raw, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut to_raw, mut to_theirs) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            // In blocks of a hundred: so that whatever the machine does meets all three.
            let mut samples = [const { Vec::new() }; 3];
            for _ in 0..options.pairs.div_ceil(100) {
                for _ in 0..100 {
                    let began = Instant::now();
                    locks.lock("bench").acquire().await?.release().await?;
                    samples[0].push(micros(began));
                }
                for _ in 0..100 {
                    let began = Instant::now();
                    floor.pair(&mut connection, "floor", "0123456789abcdef0123456789abcdef").await?;
                    samples[1].push(micros(began));
                }
                for _ in 0..100 {
                    let began = Instant::now();
                    let lock = rslock.lock("rslock", Duration::from_secs(15)).await?;
                    rslock.unlock(&lock).await;
                    samples[2].push(micros(began));
                }
            }
            let [a, b, c] = samples.map(|mut samples| percentile(&mut samples, 50.0));
            ours.push(a);
            raw.push(b);
            theirs.push(c);
            to_raw.push(a / b);
            to_theirs.push(a / c);
        }
        println!("acquire + release of a free lock, p50 in us");
        println!("  distlock, Redis backend, public API  {}", rounds(ours));
        println!("  two raw EVALSHA of the same driver   {}", rounds(raw));
        println!("  rslock                               {}", rounds(theirs));
        println!("  ratio to the raw calls               {}", rounds(to_raw));
        println!("  ratio to rslock                      {}", rounds(to_theirs));
        anyhow::Ok(())
    })
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

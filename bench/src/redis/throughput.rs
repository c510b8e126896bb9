//! Many tasks at once, each with a key of its own.

use std::time::Instant;

use testbed::redis::RedisServer;

use super::{Floor, driver, supervisor};
use crate::figures::rounds;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds, each of both in turn
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// How many tasks
    #[arg(long, default_value_t = 256)]
    tasks: u32,
    /// Acquire + release pairs of each task in a round
    #[arg(long, default_value_t = 100)]
    pairs: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let server = RedisServer::start(&[])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let locks = supervisor(server.port()).await?;
        let mut connection = driver(server.port()).await?;
        let floor = std::sync::Arc::new(Floor::load(&mut connection).await?);
        let (mut ours, mut raw, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let a = round(options, |task, pairs| {
                let locks = locks.clone();
                async move {
                    let key = format!("bench/{task}");
                    for _ in 0..pairs {
                        locks.lock(&key).acquire().await?.release().await?;
                    }
                    Ok(())
                }
            })
            .await?;
            let b = round(options, |task, pairs| {
                let (mut connection, floor) = (connection.clone(), floor.clone());
                async move {
                    let key = format!("floor/{task}");
                    for _ in 0..pairs {
                        floor.pair(&mut connection, &key, "0123456789abcdef0123456789abcdef").await?;
                    }
                    Ok(())
                }
            })
            .await?;
            ours.push(a);
            raw.push(b);
            ratios.push(a / b * 100.0);
        }
        println!("{} tasks, each with its own key: acquire + release pairs a second", options.tasks);
        println!("  distlock, Redis backend, public API  {}", rounds(ours));
        println!("  two raw EVALSHA of the same driver   {}", rounds(raw));
        println!("  of the raw throughput, in %          {}", rounds(ratios));
        anyhow::Ok(())
    })
}

async fn round<F>(options: &Options, task: impl Fn(u32, u32) -> F) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let began = Instant::now();
    let tasks: Vec<_> = (0..options.tasks).map(|number| tokio::spawn(task(number, options.pairs))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(f64::from(options.tasks * options.pairs) / began.elapsed().as_secs_f64())
}

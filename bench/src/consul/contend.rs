//! One process of contenders.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::floor::Crowd;
use crate::figures::monotonic_ns;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The agent, as 127.0.0.1:8500
    agent: String,
    #[arg(long)]
    tasks: u32,
    #[arg(long)]
    seconds: u64,
    /// How long each holds the lock
    #[arg(long)]
    hold_us: u64,
    /// Each task is a client of its own, so that all of them wait at the agent
    #[arg(long)]
    apart: bool,
    /// Everybody on one blocking query, instead of ours
    #[arg(long)]
    crowd: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let holds = runtime.block_on(async {
        let until = Instant::now() + Duration::from_secs(options.seconds);
        let hold = Duration::from_micros(options.hold_us);
        let url = format!("consul://{}", options.agent);
        let together = distlock::connect(&url).await?;
        let mut tasks = Vec::new();
        for _ in 0..options.tasks {
            let locks = if options.apart { distlock::connect(&url).await? } else { together.clone() };
            if options.crowd {
                let base = format!("http://{}", options.agent);
                tasks.push(tokio::spawn(async move {
                    let crowd = Crowd::new(&base).await?;
                    let mut holds = Vec::new();
                    while Instant::now() < until {
                        crowd.acquire().await?;
                        let granted = monotonic_ns();
                        pause(hold).await;
                        holds.push((granted, monotonic_ns()));
                        crowd.release().await?;
                    }
                    anyhow::Ok(holds)
                }));
            } else {
                tasks.push(tokio::spawn(async move {
                    let mut holds = Vec::new();
                    while Instant::now() < until {
                        let guard = locks.lock("k").acquire().await?;
                        let granted = monotonic_ns();
                        pause(hold).await;
                        holds.push((granted, monotonic_ns()));
                        guard.release().await?;
                    }
                    anyhow::Ok(holds)
                }));
            }
        }
        let mut holds = Vec::new();
        for task in tasks {
            holds.extend(task.await??);
        }
        anyhow::Ok(holds)
    })?;
    let mut text = String::new();
    for (granted, released) in holds {
        writeln!(text, "{granted} {released}")?;
    }
    print!("{text}");
    Ok(())
}

async fn pause(hold: Duration) {
    if !hold.is_zero() {
        tokio::time::sleep(hold).await;
    }
}

//! Many locks that one process waits for.

use std::time::{Duration, Instant};

use testbed::consul::Agent;
use testbed::proxy::Proxy;

use crate::figures::{cpu_time, percentile};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many locks are waited for, each held by another process's client
    #[arg(long, default_value_t = 1_000)]
    waiters: usize,
    /// For how many seconds they wait
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let agent = Agent::dev()?;
    let proxy = Proxy::to(([127, 0, 0, 1], agent.port()).into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let holders = distlock::connect(&format!("consul://127.0.0.1:{}", agent.port())).await?;
        let locks = distlock::connect(&format!("consul://{}", proxy.address())).await?;
        let mut held = Vec::new();
        for lock in 0..options.waiters {
            held.push(holders.lock(format!("many-{lock}")).ttl(Duration::from_secs(60)).acquire().await?);
        }
        let (began, mut tasks) = (Instant::now(), Vec::new());
        for lock in 0..options.waiters {
            let waiting = locks.lock(format!("many-{lock}")).ttl(Duration::from_secs(60)).acquire();
            tasks.push(tokio::spawn(async move {
                let guard = waiting.await?;
                let granted = Instant::now();
                guard.release().await?;
                anyhow::Ok(granted)
            }));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (before, cpu) = (proxy.counters(), cpu_time(std::process::id())?);
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let (after, cpu) = (proxy.counters(), cpu_time(std::process::id())?.saturating_sub(cpu));
        let seconds = options.seconds as f64;
        println!("{} locks waited for by one process, dev agent, TTL 60 s", options.waiters);
        println!("  connections open: {} (ever: {})", after.open, after.accepted);
        println!("  requests/s while nothing happens: {:.1}", (after.requests - before.requests) as f64 / seconds);
        println!("  CPU, holders and waiters together: {:.2} % of a core", cpu.as_secs_f64() / seconds * 100.0);
        let mut late = Vec::new();
        for (guard, task) in held.into_iter().zip(tasks) {
            let released = Instant::now();
            guard.release().await?;
            late.push(task.await??.saturating_duration_since(released).as_secs_f64() * 1e3);
        }
        println!(
            "  release to grant, one after the other: p50 {:.2} ms, p99 {:.2} ms",
            percentile(&mut late, 50.0),
            percentile(&mut late, 99.0)
        );
        let after = proxy.counters();
        println!(
            "  connections open at the end: {} (ever: {}), in {:.0?}",
            after.open,
            after.accepted,
            began.elapsed()
        );
        anyhow::Ok(())
    })
}

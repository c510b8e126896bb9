//! What it costs to hold many locks.

use std::time::{Duration, Instant};

use distlock::{LockGuard, MemoryBackend, Supervisor};

use crate::figures::{cpu_time, resident};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many locks
    #[arg(long, default_value_t = 100_000)]
    locks: u32,
    /// Their TTL in seconds
    #[arg(long, default_value_t = 30)]
    ttl: u64,
    /// For how many seconds to measure
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Holds the locks on the memory backend, whose own share is counted as ours.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let locks = Supervisor::new(MemoryBackend::new());
        let ttl = Duration::from_secs(options.ttl);
        let keys: Vec<String> = (0..options.locks).map(|n| format!("lock/{n}")).collect();
        let mut guards = Vec::with_capacity(keys.len());
        let before = resident()?;
        let began = Instant::now();
        for key in &keys {
            guards.push(locks.lock(key).ttl(ttl).acquire().await?);
        }
        let acquiring = began.elapsed();
        let acquired = resident()?;
        // The first round of renewals brings the steady state.
        tokio::time::sleep(ttl / 3 + Duration::from_secs(1)).await;
        let (cpu, began) = (cpu_time(std::process::id())?, Instant::now());
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let used = cpu_time(std::process::id())?.saturating_sub(cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        let held = guards.iter().filter(|guard| guard.is_held()).count();
        let per_lock = |after: u64| after.saturating_sub(before) as f64 / f64::from(options.locks);
        println!("{} locks held and renewed by one supervisor (memory backend), TTL {ttl:?}", options.locks);
        println!("  still held                {held}");
        println!("  acquired in               {acquiring:.2?}");
        println!(
            "  resident memory per lock  {:.0} bytes ({:.0} before the first renewal)",
            per_lock(resident()?),
            per_lock(acquired)
        );
        println!("  CPU                       {:.2} % of one core", used * 100.0);
        drop::<Vec<LockGuard>>(guards);
        anyhow::Ok(())
    })
}

//! What it costs a client to hold many locks.

use std::time::{Duration, Instant};

use testbed::redis::RedisServer;

use super::supervisor;
use crate::figures::{cpu_time, resident};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many locks
    #[arg(long, default_value_t = 10_000)]
    locks: u32,
    /// Their TTL in seconds
    #[arg(long, default_value_t = 30)]
    ttl: u64,
    /// For how many seconds to measure
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let server = RedisServer::start(&[])?;
    let pid = server.process().pid().unwrap_or_default().unsigned_abs();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let locks = supervisor(server.port()).await?;
        let ttl = Duration::from_secs(options.ttl);
        let before = resident()?;
        let began = Instant::now();
        let mut guards = Vec::new();
        for number in 0..options.locks {
            guards.push(locks.lock(format!("lock/{number}")).ttl(ttl).acquire().await?);
        }
        let (acquiring, after) = (began.elapsed(), resident()?);
        // The first round of renewals brings the steady state.
        tokio::time::sleep(ttl / 3 + Duration::from_secs(1)).await;
        let (client, store, began) = (cpu_time(std::process::id())?, cpu_time(pid)?, Instant::now());
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let share = |now: Duration, then: Duration| {
            now.saturating_sub(then).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
        };
        let (client, store) = (share(cpu_time(std::process::id())?, client), share(cpu_time(pid)?, store));
        let held = guards.iter().filter(|guard| guard.is_held()).count();
        println!("{} locks held and renewed by one client, TTL {ttl:?}", options.locks);
        println!("  still held                {held}");
        println!("  acquired in               {acquiring:.2?}");
        println!("  client: memory per lock   {} bytes", after.saturating_sub(before) / u64::from(options.locks));
        println!("  client: CPU               {client:.2} % of one core");
        println!("  server: CPU               {store:.2} % of one core");
        anyhow::Ok(())
    })
}

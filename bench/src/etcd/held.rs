//! What it costs to hold many locks.

use std::time::{Duration, Instant};

use distlock::{LockGuard, Supervisor};
use lock_etcd::EtcdBackend;
use testbed::etcd::Etcd;
use tokio::task::JoinSet;

use crate::figures::{cpu_time, resident};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many locks
    #[arg(long, default_value_t = 10_000)]
    locks: u32,
    /// Their TTL in seconds
    #[arg(long, default_value_t = 15)]
    ttl: u64,
    /// For how many seconds to measure
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Lets locks share leases
    #[arg(long)]
    shared: bool,
}

pub(super) async fn run(server: &Etcd, options: &Options) -> anyhow::Result<()> {
    let builder = EtcdBackend::builder(server.endpoints());
    let backend = if options.shared { builder.with_shared_leases() } else { builder }.build()?;
    let (locks, ttl) = (Supervisor::new(backend), Duration::from_secs(options.ttl));
    drop(locks.lock("first").ttl(ttl).acquire().await?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, streams) = (resident()?, server.streams(0)?);
    let server_pid = u32::try_from(server.pid(0).unwrap_or_default())?;
    let began = Instant::now();
    let mut guards: Vec<LockGuard> = Vec::with_capacity(options.locks as usize);
    let mut acquiring = JoinSet::new();
    for n in 0..options.locks {
        let locks = locks.clone();
        acquiring.spawn(async move { locks.lock(format!("held/{n}")).ttl(ttl).acquire().await });
        if acquiring.len() >= 32
            && let Some(guard) = acquiring.join_next().await
        {
            guards.push(guard??);
        }
    }
    while let Some(guard) = acquiring.join_next().await {
        guards.push(guard??);
    }
    let acquired = began.elapsed();
    // The first round of renewals brings the steady state.
    tokio::time::sleep(ttl / 2 + Duration::from_secs(2)).await;
    let (client, at_server, began) = (cpu_time(std::process::id())?, cpu_time(server_pid)?, Instant::now());
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let share =
        |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    let (client, at_server) = (share(cpu_time(std::process::id())?, client), share(cpu_time(server_pid)?, at_server));
    let held = guards.iter().filter(|guard| guard.is_held()).count();
    let sharing = if options.shared { "shared leases" } else { "a lease each" };
    println!("{} locks held and renewed by one supervisor, TTL {ttl:?}, {sharing}", options.locks);
    println!("  still held               {held}");
    println!("  acquired in              {acquired:.2?} (32 at a time)");
    let grown = resident()?.saturating_sub(before) as f64;
    println!("  client: memory per lock  {:.0} bytes", grown / f64::from(options.locks));
    println!("  client: CPU              {client:.2} % of one core");
    println!("  server: CPU              {at_server:.2} % of one core");
    println!("  streams at the server    {} ({streams} with no lock)", server.streams(0)?);
    Ok(())
}

//! Many locks held by one process.

use std::time::{Duration, Instant};

use testbed::consul::Agent;
use testbed::proxy::Proxy;

use crate::figures::cpu_time;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many locks are held
    #[arg(long, default_value_t = 1_000)]
    locks: usize,
    /// For how many seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let agent = Agent::dev()?;
    let proxy = Proxy::to(([127, 0, 0, 1], agent.port()).into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let locks = distlock::connect(&format!("consul://{}", proxy.address())).await?;
        let (began, mut held) = (Instant::now(), Vec::new());
        for lock in 0..options.locks {
            held.push(locks.lock(format!("held-{lock}")).ttl(Duration::from_secs(15)).acquire().await?);
        }
        println!(
            "{} locks held by one process, dev agent, TTL 15 s; acquired in {:.1?}",
            options.locks,
            began.elapsed()
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (before, cpu) = (proxy.counters(), cpu_time(std::process::id())?);
        let agents = agent.process_id().map(cpu_time).transpose()?;
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let (after, cpu) = (proxy.counters(), cpu_time(std::process::id())?.saturating_sub(cpu));
        let seconds = options.seconds as f64;
        let share = |cpu: Duration| cpu.as_secs_f64() / seconds * 100.0;
        println!("  still held: {}", held.iter().filter(|guard| guard.is_held()).count());
        println!("  connections open: {}", after.open);
        println!("  requests/s: {:.1}", (after.requests - before.requests) as f64 / seconds);
        println!("  CPU of the client and the counting proxy: {:.2} % of a core", share(cpu));
        if let (Some(before), Some(pid)) = (agents, agent.process_id()) {
            println!("  CPU of the agent: {:.2} % of a core", share(cpu_time(pid)?.saturating_sub(before)));
        }
        anyhow::Ok(())
    })
}

//! Acquire + release of a lock that nobody else wants.

use std::time::{Duration, Instant};

use anyhow::ensure;
use testbed::consul::Agent;

use super::floor;
use crate::figures::{cpu_time, percentile, rounds};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds, each of ours and the floor in turn
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Pairs in a round
    #[arg(long, default_value_t = 1_500)]
    pairs: u32,
    /// How many keys are used in turn
    #[arg(long, default_value_t = 1)]
    keys: u32,
    /// A server that keeps its data on disk, instead of an agent in development mode
    #[arg(long)]
    disk: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let agent = if options.disk { Agent::server()? } else { Agent::dev()? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let locks = distlock::connect(&format!("consul://127.0.0.1:{}", agent.port())).await?;
        let (http, url) = (floor::client()?, format!("{}/v1/kv/floor", agent.address()));
        let value = "x".repeat(250);
        let (mut ours, mut floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut client = (Vec::new(), Vec::new());
        for round in 0..=options.rounds {
            let mut samples = Vec::new();
            let cpu = cpu_time(std::process::id())?;
            for pair in 0..options.pairs {
                let key = format!("bench-{}", pair % options.keys);
                let began = Instant::now();
                locks.lock(key).acquire().await?.release().await?;
                samples.push(micros(began));
            }
            let a = percentile(&mut samples, 50.0);
            samples.clear();
            let between = cpu_time(std::process::id())?;
            for _ in 0..options.pairs {
                let began = Instant::now();
                let put = http.put(&url).body(value.clone()).send().await?.bytes().await?;
                let deleted = http.delete(&url).send().await?.bytes().await?;
                samples.push(micros(began));
                ensure!(put.starts_with(b"true") && deleted.starts_with(b"true"), "the floor failed");
            }
            let b = percentile(&mut samples, 50.0);
            let after = cpu_time(std::process::id())?;
            let per_pair = |from, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e6 / f64::from(options.pairs);
            let (ours_cpu, floor_cpu) = (per_pair(cpu, between), per_pair(between, after));
            // The first round warms up connections and the agent.
            if round > 0 {
                client.0.push(ours_cpu);
                client.1.push(floor_cpu);
                ratios.push(a / b);
                ours.push(a);
                floor.push(b);
            }
        }
        let agent = if options.disk { "server on disk" } else { "dev agent" };
        println!("acquire + release of a free lock, {agent}, p50 in us, {} key(s)", options.keys);
        println!("  distlock, consul backend, public API  {}", rounds(ours));
        println!("  one KV PUT + one KV DELETE            {}", rounds(floor));
        println!("  ratio                                 {}", rounds(ratios));
        println!("  of it this process's CPU, ours        {}", rounds(client.0));
        println!("  of it this process's CPU, the floor   {}", rounds(client.1));
        anyhow::Ok(())
    })
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

//! Acquire + release of a lock that nobody else wants.

use std::time::Instant;

use distlock::Supervisor;
use lock_etcd::EtcdBackend;
use testbed::etcd::Etcd;

use super::{driver, floor, locks};
use crate::figures::{percentile, rounds};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds, each of all ways in turn
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Pairs in a round
    #[arg(long, default_value_t = 300)]
    pairs: u32,
}

const WAYS: [&str; 5] = [
    "distlock, public API                  ",
    "distlock, shared leases               ",
    "one put + one delete (the floor)      ",
    "plain recipe: grant, txn, revoke      ",
    "the server's Lock: grant, lock, revoke",
];

pub(super) async fn run(server: &Etcd, options: &Options) -> anyhow::Result<()> {
    let own = locks(server)?;
    let shared = Supervisor::new(EtcdBackend::builder(server.endpoints()).with_shared_leases().build()?);
    let mut client = driver(server).await?;
    let (mut medians, mut ratios) = (vec![Vec::new(); WAYS.len()], vec![Vec::new(); WAYS.len()]);
    for _ in 0..options.rounds {
        let mut round = Vec::new();
        for way in 0..WAYS.len() {
            let mut samples = Vec::new();
            for _ in 0..options.pairs {
                let began = Instant::now();
                match way {
                    0 => own.lock("bench").acquire().await?.release().await?,
                    1 => shared.lock("shared").acquire().await?.release().await?,
                    2 => floor::put_and_delete(&mut client).await?,
                    3 => floor::recipe(&mut client).await?,
                    _ => floor::server_lock(&mut client).await?,
                }
                samples.push(began.elapsed().as_secs_f64() * 1e6);
            }
            round.push(percentile(&mut samples, 50.0));
        }
        for (way, median) in round.iter().enumerate() {
            medians[way].push(*median);
            ratios[way].push(median / round[2]);
        }
    }
    println!("acquire + release of a free lock, p50 in us, and the ratio to the floor");
    for ((way, medians), ratios) in WAYS.iter().zip(medians).zip(ratios) {
        println!("  {way} {}   {}", rounds(medians), rounds(ratios));
    }
    Ok(())
}

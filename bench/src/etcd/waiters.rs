//! Many waiters on one key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use distlock::{AcquireRequest, Attempt, LockBackend, LockKey, Ttl};
use lock_etcd::EtcdBackend;
use testbed::etcd::Etcd;
use tokio::sync::mpsc;

use crate::figures::percentile;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many waiters
    #[arg(long, default_value_t = 1_000)]
    waiters: usize,
    /// How many clients they share
    #[arg(long, default_value_t = 10)]
    clients: usize,
    /// How many hand-offs are measured
    #[arg(long, default_value_t = 200)]
    handoffs: u32,
}

/// Who was granted the lock, and when.
type Granted = (Arc<EtcdBackend>, AcquireRequest, Instant);

pub(super) async fn run(server: &Etcd, options: &Options) -> anyhow::Result<()> {
    let clients = (0..options.clients)
        .map(|_| Ok(Arc::new(EtcdBackend::new(server.endpoints())?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let request = || anyhow::Ok(AcquireRequest::new(LockKey::new("crowd")?, Ttl::new(Duration::from_secs(60))?));
    let holder = request()?;
    clients[0].try_acquire(&holder).await?;
    let before = server.streams(0)?;
    let (tell, mut told) = mpsc::unbounded_channel::<Granted>();
    let woken = Arc::new(AtomicU32::new(0));
    for n in 0..options.waiters {
        // They come one after the other, as they do; the server looks at the whole queue for each.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (client, request, tell, woken) =
            (clients[n % clients.len()].clone(), request()?, tell.clone(), woken.clone());
        tokio::spawn(async move {
            while let Attempt::Held(seen) = client.try_acquire(&request).await? {
                // A wait that ends early is begun again, and counts as woken.
                client.wait(&request, &seen).await?;
                woken.fetch_add(1, Ordering::Relaxed);
            }
            tell.send((client, request, Instant::now())).ok();
            Ok::<(), distlock::BackendError>(())
        });
    }
    let look = async || {
        anyhow::Ok(match clients[0].try_acquire(&request()?).await? {
            Attempt::Held(seen) => seen.waiters().unwrap_or(0),
            Attempt::Granted(_) => anyhow::bail!("the lock is held"),
        })
    };
    while look().await? < options.waiters as u64 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let streams = server.streams(0)?;
    woken.store(0, Ordering::Relaxed);
    let (mut samples, mut current) = (Vec::new(), (clients[0].clone(), holder));
    for _ in 0..options.handoffs {
        let began = Instant::now();
        current.0.release(&current.1.claim()).await?;
        let Some((client, request, granted)) = told.recv().await else { anyhow::bail!("the waiters ended") };
        samples.push((granted - began).as_secs_f64() * 1e3);
        current = (client, request);
    }
    println!("{} waiters on one key, of {} clients; {} hand-offs", options.waiters, options.clients, options.handoffs);
    println!("  woken by a hand-off  {:.3}", f64::from(woken.load(Ordering::Relaxed)) / f64::from(options.handoffs));
    println!(
        "  release to grant     p50 {:.2} ms, p99 {:.2} ms",
        percentile(&mut samples, 50.0),
        percentile(&mut samples, 99.0)
    );
    println!("  streams at the server: {streams} ({before} with the holder alone)");
    Ok(())
}

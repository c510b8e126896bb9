//! How long a lock takes from one process's release to another's grant.
//!
//! ```text
//! cargo run --release -p lock-file --example handoff
//! ```
//! The two processes share a monotonic clock; each says when it was granted and when it released.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use lock_core::{AcquireRequest, Attempt, LockBackend, LockKey, Ttl};
use lock_file::FileBackend;

const ROUNDS: usize = 300;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(directory) = std::env::args_os().nth(1) {
        return contend(directory.as_ref()).await;
    }
    let dir = tempfile::tempdir()?;
    let start = || Command::new(std::env::current_exe()?).arg(dir.path()).stdout(Stdio::piped()).spawn();
    let mut processes = vec![start()?, start()?];
    let mut spans: Vec<(u128, u128)> = Vec::new();
    for process in &mut processes {
        let out = process.stdout.take().ok_or("no output")?;
        for line in BufReader::new(out).lines() {
            let line = line?;
            let (granted, released) = line.split_once(' ').ok_or("not a span")?;
            spans.push((granted.parse()?, released.parse()?));
        }
        process.wait()?;
    }
    spans.sort_unstable();
    let mut gaps: Vec<u128> = spans.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].1)).collect();
    gaps.sort_unstable();
    let at = |percent: usize| Duration::from_nanos(u64::try_from(gaps[gaps.len() * percent / 100]).unwrap_or(u64::MAX));
    println!("release to grant: median {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
    Ok(())
}

async fn contend(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let backend = FileBackend::open(directory)?;
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_nanos());
    for _ in 0..ROUNDS {
        let request = AcquireRequest::new(LockKey::new("handoff")?, Ttl::default());
        loop {
            match backend.try_acquire(&request).await? {
                Attempt::Granted(_) => break,
                Attempt::Held(seen) => backend.wait(&request, &seen).await?,
            }
        }
        let granted = now()?;
        // Long enough for the other one to wait.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let released = now()?;
        backend.release(&request.claim()).await?;
        println!("{granted} {released}");
    }
    Ok(())
}

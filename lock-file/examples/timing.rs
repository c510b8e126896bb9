//! What an uncontended lock costs, beside the plainest lock file there is.
//!
//! ```text
//! cargo run --release -p lock-file --example timing [directory]
//! ```

use std::fs::{OpenOptions, remove_file};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use lock_core::{AcquireRequest, Attempt, LockBackend, LockKey, Ttl};
use lock_file::FileBackend;

const ROUNDS: u32 = 20_000;
const SERIES: u32 = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let made = tempfile::tempdir()?;
    let directory = std::env::args_os().nth(1).map_or_else(|| made.path().to_owned(), Into::into);
    let backend = FileBackend::open(&directory)?;
    let (mut floors, mut locks, mut ways) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SERIES {
        floors.push(floor(&directory)?);
        locks.push(lock(&backend, "timing").await?);
        ways.push(new_names(&backend).await?);
    }
    let (floor, lock, new) = (median(floors), median(locks), median(ways));
    println!("open(O_EXCL) + write + close + unlink: {floor:?}");
    println!("try_acquire + release, the same key:   {lock:?}  ({:.2} x)", ratio(lock, floor));
    println!("try_acquire + release, a new key each: {new:?}  ({:.2} x)", ratio(new, floor));
    Ok(())
}

fn floor(directory: &Path) -> std::io::Result<Duration> {
    let path = directory.join("floor");
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(b"12345 host\n")?;
        drop(file);
        remove_file(&path)?;
    }
    Ok(begun.elapsed() / ROUNDS)
}

async fn lock(backend: &FileBackend, key: &str) -> Result<Duration, Box<dyn std::error::Error>> {
    let key = LockKey::new(key)?;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let request = AcquireRequest::new(key.clone(), Ttl::default());
        let Attempt::Granted(_) = backend.try_acquire(&request).await? else { return Err("held".into()) };
        backend.release(&request.claim()).await?;
    }
    Ok(begun.elapsed() / ROUNDS)
}

async fn new_names(backend: &FileBackend) -> Result<Duration, Box<dyn std::error::Error>> {
    let rounds = 500;
    let begun = Instant::now();
    for n in 0..rounds {
        let request = AcquireRequest::new(LockKey::new(format!("{n}"))?, Ttl::default());
        let Attempt::Granted(_) = backend.try_acquire(&request).await? else { return Err("held".into()) };
        backend.release(&request.claim()).await?;
    }
    let took = begun.elapsed() / rounds;
    for n in 0..rounds {
        std::fs::remove_dir_all(backend.directory().join(n.to_string()))?;
    }
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

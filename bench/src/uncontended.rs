//! Acquire + release of a lock that nobody else wants.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::figures::{percentile, rounds};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds, each of ours and the floor in turn
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Acquire + release pairs in a round
    #[arg(long, default_value_t = 5_000)]
    pairs: u32,
}

/// Ours and the floor in the same directory, in turns.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let url = format!("file://{}", directory.path().join("locks").display());
    let locks = runtime.block_on(distlock::connect(&url))?;
    let (mut ours, mut floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let mut samples = Vec::new();
        runtime.block_on(async {
            for _ in 0..options.pairs {
                let began = Instant::now();
                locks.lock("bench").acquire().await?.release().await?;
                samples.push(micros(began));
            }
            anyhow::Ok(())
        })?;
        let a = percentile(&mut samples, 50.0);
        samples.clear();
        for _ in 0..options.pairs {
            let began = Instant::now();
            create_write_remove(&directory.path().join("floor"))?;
            samples.push(micros(began));
        }
        let b = percentile(&mut samples, 50.0);
        ratios.push(a / b);
        ours.push(a);
        floor.push(b);
    }
    println!("acquire + release of a free lock, p50 in us");
    println!("  distlock, file backend, public API          {}", rounds(ours));
    println!("  open(O_CREAT|O_EXCL) + write + close + unlink {}", rounds(floor));
    println!("  ratio                                       {}", rounds(ratios));
    Ok(())
}

fn create_write_remove(path: &Path) -> anyhow::Result<()> {
    let mut file = fs::File::create_new(path)?;
    write!(file, "{}", std::process::id())?;
    drop(file);
    fs::remove_file(path)?;
    Ok(())
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

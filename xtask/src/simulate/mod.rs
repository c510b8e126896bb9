//! `cargo xtask simulate`: trials of lock-core in its deterministic simulation, seed after seed.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lock_core::simulation::{Failure, trial};

use crate::cargo::{cargo, exit_code};

/// How often the progress is told.
const PROGRESS: Duration = Duration::from_secs(30);

/// Which seeds are tried.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed alone, and if it fails, all that happens in its shrunk run.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many run at a time. Default: one a core.
    #[arg(long)]
    threads: Option<usize>,
    /// Is this the optimised build already?
    #[arg(long, hide = true)]
    optimised: bool,
}

/// Tries the seeds; the exit code tells whether one failed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(seed) = options.seed {
        return Ok(one(seed));
    }
    if cfg!(debug_assertions) && !options.optimised {
        return again_optimised(options);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or(cores).max(1);
    let (next, stop, failure) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(None::<Box<Failure>>));
    let (events, grants) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= options.seeds {
                        return;
                    }
                    match trial(options.from + number) {
                        Ok(passed) => {
                            events.fetch_add(passed.events as u64, Ordering::Relaxed);
                            grants.fetch_add(passed.grants as u64, Ordering::Relaxed);
                        }
                        Err(found) => {
                            stop.store(true, Ordering::Relaxed);
                            *failure.lock().expect("nothing panics while it has this") = Some(found);
                        }
                    }
                }
            });
        }
        let mut told = Instant::now();
        while !stop.load(Ordering::Relaxed) && next.load(Ordering::Relaxed) < options.seeds {
            std::thread::sleep(Duration::from_millis(50));
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                println!("{} seeds in {:.0} s", next.load(Ordering::Relaxed), began.elapsed().as_secs_f32());
            }
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let tried = next.load(Ordering::Relaxed).min(options.seeds);
    println!(
        "simulation: {tried} seeds from {} in {seconds:.1} s ({:.0}/s): {} events, {} locks granted",
        options.from,
        tried as f64 / seconds,
        events.load(Ordering::Relaxed),
        grants.load(Ordering::Relaxed)
    );
    match failure.into_inner().expect("nothing panics while it has this") {
        None => {
            println!("no invariant broken");
            Ok(ExitCode::SUCCESS)
        }
        Some(failure) => {
            println!("{failure}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn one(seed: u64) -> ExitCode {
    match trial(seed) {
        Ok(passed) => {
            println!("seed {seed} breaks no invariant: {passed:?}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            failure.log().for_each(|line| println!("{line}"));
            println!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

/// A million seeds want the optimised build; the one that cargo starts by default isn't.
fn again_optimised(options: &Options) -> Result<ExitCode> {
    let mut command = cargo();
    command.args(["run", "--release", "--package", "xtask", "--", "simulate", "--optimised"]);
    command.args(["--seeds", &options.seeds.to_string(), "--from", &options.from.to_string()]);
    if let Some(threads) = options.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    Ok(exit_code(command.status().context("starting cargo")?))
}

//! From a release to the next grant, and who is granted it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::figures::{monotonic_ns, percentile};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how many seconds each set-up runs
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(clap::Args)]
pub(crate) struct Contend {
    directory: PathBuf,
    #[arg(long)]
    tasks: u32,
    #[arg(long)]
    seconds: u64,
    /// How long each holds the lock
    #[arg(long)]
    hold_us: u64,
}

/// One hold: when it was granted, when its release began, and by which process.
struct Hold {
    granted: u64,
    released: u64,
    process: usize,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    println!("release to grant among contenders that all come back at once, file backend");
    println!(
        "  processes x tasks | hand-offs/s | between processes p50 / p99 ms | back to the same process | fewest : most grants"
    );
    for (processes, tasks, hold_us) in [(2, 1, 1_000), (8, 1, 1_000), (8, 8, 1_000), (2, 1, 0), (8, 8, 0)] {
        let directory = tempfile::tempdir()?;
        let mut children = Vec::new();
        for _ in 0..processes {
            let child = Command::new(std::env::current_exe()?)
                .args(["worker", "contend"])
                .arg(directory.path())
                .args(["--tasks", &tasks.to_string(), "--seconds", &options.seconds.to_string()])
                .args(["--hold-us", &hold_us.to_string()])
                .stdout(Stdio::piped())
                .spawn()?;
            children.push(child);
        }
        let mut holds = Vec::new();
        for (process, mut child) in children.into_iter().enumerate() {
            let mut text = String::new();
            child.stdout.take().context("no stdout")?.read_to_string(&mut text)?;
            child.wait()?;
            for line in text.lines() {
                let (granted, released) = line.split_once(' ').context("two numbers")?;
                holds.push(Hold { granted: granted.parse()?, released: released.parse()?, process });
            }
        }
        report(processes, tasks, hold_us, holds);
    }
    Ok(())
}

fn report(processes: usize, tasks: u32, hold_us: u64, mut holds: Vec<Hold>) {
    holds.sort_by_key(|hold| hold.granted);
    let (mut between, mut same) = (Vec::new(), 0);
    for pair in holds.windows(2) {
        if pair[0].process == pair[1].process {
            same += 1;
        } else {
            between.push(pair[1].granted.saturating_sub(pair[0].released) as f64 / 1e6);
        }
    }
    let seconds = (holds[holds.len() - 1].granted - holds[0].granted) as f64 / 1e9;
    let grants = |process| holds.iter().filter(|hold| hold.process == process).count();
    let (fewest, most) = ((0..processes).map(grants).min(), (0..processes).map(grants).max());
    let back = f64::from(same) / (holds.len() - 1) as f64 * 100.0;
    let (p50, p99) = (percentile(&mut between, 50.0), percentile(&mut between, 99.0));
    println!(
        "  {processes} x {tasks}, held {hold_us} us | {:.0} | {p50:.3} / {p99:.3} | {back:.1} % | {} : {}",
        holds.len() as f64 / seconds,
        fewest.unwrap_or(0),
        most.unwrap_or(0),
    );
}

pub(crate) fn contend(options: &Contend) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let locks = distlock::connect(&format!("file://{}", options.directory.join("locks").display())).await?;
        let (hold, until) = (options.hold_us, Instant::now() + Duration::from_secs(options.seconds));
        let mut tasks = Vec::new();
        for _ in 0..options.tasks {
            let locks = locks.clone();
            tasks.push(tokio::spawn(async move {
                let mut holds = Vec::new();
                while Instant::now() < until {
                    let guard = locks.lock("k").acquire().await?;
                    let granted = monotonic_ns();
                    if hold > 0 {
                        tokio::time::sleep(Duration::from_micros(hold)).await;
                    }
                    holds.push((granted, monotonic_ns()));
                    guard.release().await?;
                }
                anyhow::Ok(holds)
            }));
        }
        let mut text = String::new();
        for task in tasks {
            for (granted, released) in task.await?? {
                writeln!(text, "{granted} {released}")?;
            }
        }
        print!("{text}");
        anyhow::Ok(())
    })
}

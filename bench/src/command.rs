//! What `distlock run` adds to the command that it runs.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::ensure;

use crate::figures::{percentile, rounds};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The command, built with --release
    #[arg(long, default_value = "target/release/distlock")]
    distlock: PathBuf,
    /// How many rounds, each of ours and the floor in turn
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Runs in a round
    #[arg(long, default_value_t = 50)]
    runs: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut ours = Command::new(&options.distlock);
    ours.args(["run", "bench", "--", "true"]).env("DISTLOCK_DIR", directory.path()).env_remove("DISTLOCK_URL");
    let mut floor = Command::new("true");
    let (mut a, mut b, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (mut ours_ms, mut floor_ms) = (Vec::new(), Vec::new());
        for _ in 0..options.runs {
            ours_ms.push(time(&mut ours)?);
            floor_ms.push(time(&mut floor)?);
        }
        let (x, y) = (percentile(&mut ours_ms, 50.0), percentile(&mut floor_ms, 50.0));
        a.push(x);
        b.push(y);
        added.push(x - y);
    }
    println!("the command, p50 in ms");
    println!("  distlock run bench -- true  {}", rounds(a));
    println!("  true                        {}", rounds(b));
    println!("  added                       {}", rounds(added));
    Ok(())
}

fn time(command: &mut Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

//! From a release to the next grant, in another process.

use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use testbed::consul::Agent;
use testbed::proxy::Proxy;

use crate::figures::percentile;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how many seconds each set-up runs, twice in each round: for the time, and through a proxy that counts
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each holds the lock
    #[arg(long, default_value_t = 1_000)]
    hold_us: u64,
    /// Each waiter is a client of its own, so that all of them wait at the agent
    #[arg(long)]
    apart: bool,
}

/// What one run came to.
struct Run {
    hand_offs: usize,
    p50: f64,
    p99: f64,
    fewest: usize,
    most: usize,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    println!("release to grant in another process, dev agent, held {} us", options.hold_us);
    println!("  waiters, who | requests/hand-off | p50 ms | p99 ms | hand-offs | fewest : most grants of a process");
    for (processes, tasks) in [(2, 1), (8, 1), (8, 8)] {
        let (mut ours, mut crowd) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            for (is_crowd, runs) in [(false, &mut ours), (true, &mut crowd)] {
                let agent = Agent::dev()?;
                let direct = contend(options, &format!("127.0.0.1:{}", agent.port()), processes, tasks, is_crowd)?;
                let proxy = Proxy::to(([127, 0, 0, 1], agent.port()).into());
                let counted = contend(options, &proxy.address().to_string(), processes, tasks, is_crowd)?;
                let requests = proxy.counters().requests as f64 / counted.hand_offs as f64;
                runs.push((direct, requests));
            }
        }
        for (who, runs) in [("distlock", ours), ("one blocking query", crowd)] {
            let column = |value: &dyn Fn(&(Run, f64)) -> f64| {
                let mut values: Vec<_> = runs.iter().map(value).collect();
                let (min, max) = (percentile(&mut values, 0.0), percentile(&mut values, 100.0));
                format!("{:.2} ({min:.2}-{max:.2})", percentile(&mut values, 50.0))
            };
            println!(
                "  {:2} over {processes}, {who} | {} | {} | {} | {:.0} | {} : {}",
                processes * tasks,
                column(&|run| run.1),
                column(&|run| run.0.p50),
                column(&|run| run.0.p99),
                runs[0].0.hand_offs,
                runs[0].0.fewest,
                runs[0].0.most,
            );
        }
    }
    Ok(())
}

fn contend(options: &Options, agent: &str, processes: usize, tasks: usize, crowd: bool) -> anyhow::Result<Run> {
    let mut children = Vec::new();
    for _ in 0..processes {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["consul", "contend", agent, "--tasks", &tasks.to_string()])
            .args(["--seconds", &options.seconds.to_string(), "--hold-us", &options.hold_us.to_string()])
            .stdout(Stdio::piped());
        if options.apart {
            command.arg("--apart");
        }
        if crowd {
            command.arg("--crowd");
        }
        children.push(command.spawn()?);
    }
    let mut holds: Vec<(u64, u64, usize)> = Vec::new();
    for (process, mut child) in children.into_iter().enumerate() {
        let mut text = String::new();
        child.stdout.take().context("no stdout")?.read_to_string(&mut text)?;
        ensure!(child.wait()?.success(), "a contender failed");
        for line in text.lines() {
            let (granted, released) = line.split_once(' ').context("two numbers")?;
            holds.push((granted.parse()?, released.parse()?, process));
        }
    }
    holds.sort_unstable();
    let other = holds.windows(2).filter(|pair| pair[0].2 != pair[1].2);
    let mut between: Vec<f64> = other.map(|pair| pair[1].0.saturating_sub(pair[0].1) as f64 / 1e6).collect();
    ensure!(!between.is_empty(), "no hand-off between processes");
    let grants = |process| holds.iter().filter(|hold| hold.2 == process).count();
    Ok(Run {
        hand_offs: holds.len(),
        p50: percentile(&mut between, 50.0),
        p99: percentile(&mut between, 99.0),
        fewest: (0..processes).map(grants).min().unwrap_or(0),
        most: (0..processes).map(grants).max().unwrap_or(0),
    })
}

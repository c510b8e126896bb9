//! From a release to the next grant, and who is granted it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use testbed::redis::RedisServer;

use super::supervisor;
use crate::figures::{monotonic_ns, percentile, rounds};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds, each of both in turn
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// For how long each set-up runs in a round
    #[arg(long, default_value_t = 1_000)]
    millis: u64,
}

#[derive(clap::Args)]
pub(crate) struct Worker {
    port: u16,
    #[arg(long)]
    what: What,
    #[arg(long)]
    tasks: u32,
    #[arg(long)]
    millis: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// Our lock, each waiter a client of its own: all of them stand in the store's queue.
    Lock,
    /// An element of a list, taken with BLPOP and put back with RPUSH.
    Token,
}

/// One hold: when it was granted, when its release began, and by which process.
struct Hold {
    granted: u64,
    released: u64,
    process: usize,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    println!("release to grant, p50 in us; contenders come back at once and hold for no time");
    for (processes, tasks) in [(2, 1), (8, 1), (8, 8)] {
        let server = RedisServer::start(&[])?;
        let (mut ours, mut floor, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (mut commands, mut back) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let before = calls(&server)?;
            let mut holds = contend(&server, processes, tasks, What::Lock, options.millis)?;
            let count = holds.len() as f64;
            commands.push((calls(&server)? - before) as f64 / count);
            let (a, same) = report(&mut holds);
            back.push(same);
            let (b, _) = report(&mut contend(&server, processes, tasks, What::Token, options.millis)?);
            ours.push(a);
            floor.push(b);
            ratios.push(a / b);
        }
        println!("  {processes} processes x {tasks} waiters");
        println!("    distlock                       {}", rounds(ours));
        println!("    BLPOP token                    {}", rounds(floor));
        println!("    ratio                          {}", rounds(ratios));
        println!("    server commands a hand-off, with the try that was refused {}", rounds(commands));
        println!("    grants back to the same process, %                        {}", rounds(back));
    }
    Ok(())
}

fn calls(server: &RedisServer) -> anyhow::Result<u64> {
    Ok(server.commands()?.iter().map(|(_, count)| count).sum())
}

fn contend(server: &RedisServer, processes: usize, tasks: u32, what: What, millis: u64) -> anyhow::Result<Vec<Hold>> {
    server.command(&["DEL", "token"])?;
    server.command(&["RPUSH", "token", "x"])?;
    let mut children = Vec::new();
    for _ in 0..processes {
        let child = Command::new(std::env::current_exe()?)
            .args(["redis", "worker", &server.port().to_string()])
            .args(["--what", if matches!(what, What::Lock) { "lock" } else { "token" }])
            .args(["--tasks", &tasks.to_string(), "--millis", &millis.to_string()])
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
    Ok(holds)
}

/// The median of all hand-offs, and how many went back to the process that had just released.
fn report(holds: &mut [Hold]) -> (f64, f64) {
    holds.sort_by_key(|hold| hold.granted);
    let pairs = || holds.windows(2);
    let mut times: Vec<_> = pairs().map(|pair| pair[1].granted.saturating_sub(pair[0].released) as f64 / 1e3).collect();
    let same = pairs().filter(|pair| pair[0].process == pair[1].process).count();
    (percentile(&mut times, 50.0), same as f64 / (holds.len() - 1) as f64 * 100.0)
}

pub(crate) fn work(options: &Worker) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (port, millis) = (options.port, options.millis);
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..options.tasks {
            tasks.push(match options.what {
                What::Lock => tokio::spawn(lock(port, millis)),
                What::Token => tokio::spawn(token(port, millis)),
            });
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

/// Until when a worker takes part, once it is connected. Those that start earlier end earlier, which ends the row.
fn until(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

async fn lock(port: u16, millis: u64) -> anyhow::Result<Vec<(u64, u64)>> {
    let locks = supervisor(port).await?;
    let (until, mut holds) = (until(millis), Vec::new());
    while Instant::now() < until {
        let guard = locks.lock("k").acquire().await?;
        let granted = monotonic_ns();
        holds.push((granted, monotonic_ns()));
        guard.release().await?;
    }
    Ok(holds)
}

async fn token(port: u16, millis: u64) -> anyhow::Result<Vec<(u64, u64)>> {
    let mut connection = super::driver(port).await?;
    let (until, mut holds) = (until(millis), Vec::new());
    while Instant::now() < until {
        let _: (String, String) = redis::cmd("BLPOP").arg("token").arg(5).query_async(&mut connection).await?;
        let granted = monotonic_ns();
        holds.push((granted, monotonic_ns()));
        let _: i64 = redis::cmd("RPUSH").arg("token").arg("x").query_async(&mut connection).await?;
    }
    Ok(holds)
}

//! From a holder's death to the grant of a waiter in another process, and what waiting costs.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::figures::{cpu_time, monotonic_ns, percentile};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many holders to kill
    #[arg(long, default_value_t = 40)]
    rounds: u32,
    /// How many processes wait when the cost of waiting is measured
    #[arg(long, default_value_t = 100)]
    waiters: u32,
    /// For how many seconds that is measured
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[derive(clap::Args)]
pub(crate) struct Hold {
    directory: PathBuf,
    /// Holds a bare flock(2) instead
    #[arg(long)]
    flock: bool,
}

#[derive(clap::Args)]
pub(crate) struct Wait {
    directory: PathBuf,
    #[arg(long)]
    flock: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ours.push(takeover(directory.path(), false)?);
        floor.push(takeover(directory.path(), true)?);
    }
    println!("holder killed (SIGKILL) until a waiter in another process is granted the lock, in ms");
    for (name, mut samples) in [("distlock, file backend", ours), ("a blocked flock(2)", floor)] {
        let (p50, max) = (percentile(&mut samples, 50.0), percentile(&mut samples, 100.0));
        println!("  {name:<26} p50 {p50:.2}, max {max:.2}");
    }
    cost_of_waiting(directory.path(), options)
}

fn takeover(directory: &Path, flock: bool) -> anyhow::Result<f64> {
    let mut holder = start("hold", directory, flock)?;
    line(&mut holder)?;
    let mut waiter = start("wait", directory, flock)?;
    line(&mut waiter)?;
    // Until it sleeps in its wait.
    std::thread::sleep(Duration::from_millis(100));
    let killed = monotonic_ns();
    holder.kill()?;
    let granted: u64 = line(&mut waiter)?.trim().parse()?;
    holder.wait()?;
    waiter.kill()?;
    waiter.wait()?;
    Ok(granted.saturating_sub(killed) as f64 / 1e6)
}

fn cost_of_waiting(directory: &Path, options: &Options) -> anyhow::Result<()> {
    let mut holder = start("hold", directory, false)?;
    line(&mut holder)?;
    let mut waiters = Vec::new();
    for _ in 0..options.waiters {
        let mut waiter = start("wait", directory, false)?;
        line(&mut waiter)?;
        waiters.push(waiter);
    }
    std::thread::sleep(Duration::from_secs(2));
    let cpu = |waiters: &[Child]| waiters.iter().map(|waiter| cpu_time(waiter.id())).sum::<anyhow::Result<Duration>>();
    let before = cpu(&waiters)?;
    std::thread::sleep(Duration::from_secs(options.seconds));
    let used = cpu(&waiters)?.saturating_sub(before).as_secs_f64() / options.seconds as f64;
    println!("{} processes waiting for one lock: {:.2} % of one core together", options.waiters, used * 100.0);
    for child in waiters.iter_mut().chain([&mut holder]) {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

pub(crate) fn start(worker: &str, directory: &Path, flock: bool) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["worker", worker]).arg(directory).stdout(Stdio::piped()).stdin(Stdio::null());
    if flock {
        command.arg("--flock");
    }
    Ok(command.spawn()?)
}

/// The next line that a worker prints.
pub(crate) fn line(child: &mut Child) -> anyhow::Result<String> {
    let mut text = String::new();
    // One byte at a time would be needed to read no further; workers print one line at a time.
    BufReader::with_capacity(1, child.stdout.as_mut().context("no stdout")?).read_line(&mut text)?;
    ensure!(!text.is_empty(), "a worker ended early");
    Ok(text)
}

pub(crate) fn hold(options: &Hold) -> anyhow::Result<()> {
    if options.flock {
        let file = std::fs::File::create(options.directory.join("flock"))?;
        file.lock()?;
        say("held");
        std::thread::sleep(Duration::from_secs(3600));
        return Ok(());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let locks = distlock::connect(&format!("file://{}", options.directory.join("locks").display())).await?;
        let guard = locks.lock("k").ttl(Duration::from_secs(60)).acquire().await?;
        say("held");
        Err(guard.lost().await.into())
    })
}

pub(crate) fn wait(options: &Wait) -> anyhow::Result<()> {
    if options.flock {
        let file = std::fs::File::create(options.directory.join("flock"))?;
        say("waiting");
        file.lock()?;
        say(&monotonic_ns().to_string());
        std::thread::sleep(Duration::from_secs(3600));
        return Ok(());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let locks = distlock::connect(&format!("file://{}", options.directory.join("locks").display())).await?;
        say("waiting");
        let guard = locks.lock("k").ttl(Duration::from_secs(60)).acquire().await?;
        say(&monotonic_ns().to_string());
        Err(guard.lost().await.into())
    })
}

fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // The driver may be gone: then nobody is left to tell.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

//! What waiting costs while nothing happens.

use std::time::Duration;

use anyhow::Result;

use super::Run;
use crate::contest::{Contestant, Kind, Place, Way};
use crate::process::cpu_time;
use crate::results::Of;
use crate::worker::Worker;

/// Each waiter is a process, and all wait for the same lock.
const ONE_LOCK: &str = "each a process, for one lock";
/// One process has all waiters, each for a lock of its own.
const MANY_LOCKS: &str = "in one process, each for a lock of its own";

pub(crate) fn run(run: &mut Run) {
    for _ in 0..run.pick(3, 1) {
        run.turns(Kind::Waiting, ONE_LOCK, run.pick(100, 10), one_lock);
        run.turns(Kind::Waiting, MANY_LOCKS, run.pick(1_000, 50), many_locks);
    }
}

fn one_lock(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    if let Way::Signal(_) = contestant.way {
        return Ok(());
    }
    let holder = Worker::start(run.backend, contestant, &run.place(), &["hold"])?;
    let mut waiters = (0..of.load)
        .map(|_| Worker::spawn(run.backend, contestant, &run.place(), &["wait"]))
        .collect::<Result<Vec<_>>>()?;
    waiters.iter_mut().try_for_each(|waiter| waiter.until_ready().and_then(|()| waiter.go()))?;
    watch(run, of, &waiters)?;
    // Nobody is granted it any more.
    drop(waiters);
    drop(holder);
    Ok(())
}

fn many_locks(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    if !matches!(contestant.way, Way::Client(_)) {
        return Ok(());
    }
    let locks = of.load.to_string();
    let holder = Worker::start(run.backend, contestant, &run.place(), &["many", "--locks", &locks])?;
    let counted = run.store.counted()?;
    let url = counted.as_ref().map_or_else(|| run.store.url(), |counted| counted.url.clone());
    let place = Place { url, ..run.place() };
    let waiter = Worker::start(run.backend, contestant, &place, &["wait-many", "--locks", &locks])?;
    watch(run, of, std::slice::from_ref(&waiter))?;
    if let Some(counted) = counted {
        run.results.add(of, "connections", counted.proxy.counters().open as f64);
    }
    drop(waiter);
    drop(holder);
    Ok(())
}

/// What the waiters and the servers do while nothing happens.
fn watch(run: &mut Run, of: &Of, waiters: &[Worker]) -> Result<()> {
    std::thread::sleep(run.pick(Duration::from_secs(1), Duration::from_millis(500)));
    let window = run.pick(Duration::from_secs(3), Duration::from_secs(1));
    let cpu = |pids: &[u32]| pids.iter().map(|pid| cpu_time(*pid)).sum::<Result<Duration>>();
    let (clients, servers): (Vec<u32>, _) = (waiters.iter().map(Worker::pid).collect(), run.store.servers());
    let (client, server, commands) = (cpu(&clients)?, cpu(&servers)?, run.store.commands()?);
    std::thread::sleep(window);
    let seconds = window.as_secs_f64();
    run.results.add(of, "client CPU %", cpu(&clients)?.saturating_sub(client).as_secs_f64() / seconds * 100.0);
    if !servers.is_empty() {
        run.results.add(of, "server CPU %", cpu(&servers)?.saturating_sub(server).as_secs_f64() / seconds * 100.0);
    }
    if let Some((before, after)) = commands.zip(run.store.commands()?) {
        run.results.add(of, "commands/s", (after - before) as f64 / seconds);
    }
    Ok(())
}

//! What waiting costs while nothing happens.

use std::time::Duration;

use anyhow::Result;

use super::Run;
use crate::contest::{Contestant, Kind, Way};
use crate::process::cpu_time;
use crate::results::Of;
use crate::worker::Worker;

pub(crate) fn run(run: &mut Run) {
    let waiters = run.pick(100, 10);
    run.turns(Kind::Waiting, "", waiters, turn);
}

fn turn(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    if let Way::Signal(_) = contestant.way {
        return Ok(());
    }
    let holder = Worker::start(run.backend, contestant, &run.place(), &["hold"])?;
    let mut waiters = (0..of.load)
        .map(|_| Worker::spawn(run.backend, contestant, &run.place(), &["wait"]))
        .collect::<Result<Vec<_>>>()?;
    waiters.iter_mut().try_for_each(|waiter| waiter.until_ready().and_then(|()| waiter.go()))?;
    std::thread::sleep(run.pick(Duration::from_secs(3), Duration::from_secs(1)));
    let window = run.pick(Duration::from_secs(20), Duration::from_secs(2));
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
    // Nobody is granted it any more.
    drop(waiters);
    drop(holder);
    Ok(())
}

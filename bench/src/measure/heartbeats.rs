//! D: what it costs to hold many locks.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Run;
use crate::contest::{Contestant, Kind, Place, Way};
use crate::process::{cpu_time, resident, wake_ups};
use crate::results::Of;
use crate::worker::{HeldMany, Worker};

/// How many locks, and in how many rounds.
const LOADS: &[(u64, u32)] = &[(1_000, 2), (10_000, 3), (100_000, 2)];

pub(crate) fn run(run: &mut Run) {
    for round in 0..run.pick(3, 1) {
        for (locks, rounds) in run.pick(LOADS, &LOADS[..1]) {
            if round < *rounds {
                run.turns(Kind::Heartbeats, "", *locks, turn);
            }
        }
    }
}

fn turn(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    if let Way::Signal(_) = contestant.way {
        return Ok(());
    }
    if let Some(why) = run.store.too_many(contestant.name, of.load) {
        run.results.leave_out(of, why);
        return Ok(());
    }
    let ttl = run.pick(Duration::from_secs(30), run.store.shortest_ttl().max(Duration::from_secs(3)));
    let place = Place { ttl_ms: u64::try_from(ttl.as_millis())?, ..run.place() };
    let mut worker = Worker::start(run.backend, contestant, &place, &["many", "--locks", &of.load.to_string()])?;
    std::thread::sleep(Duration::from_secs(1));
    let servers = run.store.servers();
    let server_cpu = || servers.iter().map(|pid| cpu_time(*pid)).sum::<Result<Duration>>();
    let (client, server) = (cpu_time(worker.pid())?, server_cpu()?);
    let (woken, commands, began) = (wake_ups(worker.pid())?, run.store.commands()?, Instant::now());
    // Within it each lock is renewed once: ours for the first time between a sixth and a third of the TTL after the
    // grant, distributed-lock at a third. (tooz renews all together every half.)
    let window = if let Way::Python(_) = contestant.way { ttl } else { ttl / 3 };
    std::thread::sleep(window);
    let seconds = began.elapsed().as_secs_f64();
    let client = cpu_time(worker.pid())?.saturating_sub(client).as_secs_f64() / seconds;
    let server = server_cpu()?.saturating_sub(server).as_secs_f64() / seconds;
    let woken = (wake_ups(worker.pid())? - woken) as f64 / seconds;
    let commands = run.store.commands()?.zip(commands).map(|(after, before)| (after - before) as f64 / seconds);
    let memory = resident(worker.pid())?;
    worker.go()?;
    let held: HeldMany = worker.answer(Duration::from_secs(60))?;
    worker.line(Duration::from_secs(300))?;
    drop(worker);
    ensure!(held.renewed == of.load, "only {} of {} were still held", held.renewed, of.load);
    run.results.add(of, "client CPU %", client * 100.0);
    run.results.add(of, "wake-ups/s", woken);
    run.results.add(of, "bytes/lock", memory.saturating_sub(held.resident_before) as f64 / of.load as f64);
    run.results.add(of, "acquired in s", held.acquired_in_s);
    if !servers.is_empty() {
        run.results.add(of, "server CPU %", server * 100.0);
    }
    if let Some(commands) = commands {
        run.results.add(of, "commands/s", commands);
    }
    Ok(())
}

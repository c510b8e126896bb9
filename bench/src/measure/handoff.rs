//! C: from a release to the next grant, among contenders that come back at once, and who is granted it.

use std::time::Duration;

use anyhow::Result;

use super::{Run, per_operation};
use crate::contest::{Contestant, Kind, Place, Way};
use crate::figures::percentile;
use crate::holds::{Figures, Hold};
use crate::results::{HELD_BY_TWO, Of};
use crate::worker::Worker;

/// Each task is a client of its own: all of them wait at the store.
const APART: &str = "over processes, a client each";

/// How many processes of how many tasks, in turn.
type Crowds = &'static [(u32, u32)];

/// Where contenders are, how long they hold the lock (us), and how many they are.
///
/// Held for no time at all shows what the store can do; held for a moment, who is next.
const SETTINGS: &[(&str, u32, Crowds)] = &[
    ("in one process", 1_000, &[(1, 2), (1, 8), (1, 64)]),
    ("over processes", 1_000, &[(2, 1), (8, 1), (8, 8)]),
    ("over processes", 0, &[(2, 1), (8, 1), (8, 8)]),
    (APART, 1_000, &[(8, 8)]),
    (APART, 0, &[(8, 8)]),
];

pub(crate) fn run(run: &mut Run) {
    for round in 0..run.pick(3, 1) {
        for (place, hold_us, set_ups) in SETTINGS.iter().copied() {
            for (processes, tasks) in run.pick(set_ups, &set_ups[set_ups.len() / 2..]).iter().copied() {
                let setting = format!("{place}, held {} ms", hold_us / 1_000);
                let set_up = SetUp { processes, tasks, hold_us, apart: place == APART };
                run.turns(Kind::Handoff, &setting, u64::from(processes * tasks), |run, contestant, of| {
                    if let Way::Signal(_) = contestant.way {
                        return signal(run, contestant, of);
                    }
                    turn(run, contestant, of, &set_up)?;
                    if round == 0 && hold_us > 0 && processes > 1 {
                        count(run, contestant, of, &set_up)
                    } else {
                        Ok(())
                    }
                });
            }
        }
    }
}

/// How long they contend, or signals go, in a turn.
const MS: u32 = 500;

struct SetUp {
    processes: u32,
    tasks: u32,
    hold_us: u32,
    apart: bool,
}

fn turn(run: &mut Run, contestant: &Contestant, of: &Of, set_up: &SetUp) -> Result<()> {
    let mut workers = start(run, contestant, &run.place(), set_up, run.pick(MS, 300))?;
    let before = run.store.commands()?;
    let figures = contend(&mut workers, set_up)?;
    let commands = per_operation(before, run.store.commands()?, figures.hand_offs);
    for (metric, value) in [
        ("hand-offs/s", figures.per_second),
        ("p50 ms", figures.p50),
        ("p99 ms", figures.p99),
        ("back %", figures.back),
        ("same process %", figures.same_process),
        ("least/most", figures.least_to_most),
        (HELD_BY_TWO, figures.overlaps as f64),
    ] {
        run.results.add(of, metric, value);
    }
    if let Some(commands) = commands {
        run.results.add(of, "commands", commands);
    }
    Ok(())
}

fn start(run: &Run, contestant: &Contestant, place: &Place, set_up: &SetUp, ms: u32) -> Result<Vec<Worker>> {
    let (tasks, ms, hold_us) = (set_up.tasks.to_string(), ms.to_string(), set_up.hold_us.to_string());
    let mut work = vec!["contend", "--tasks", &tasks, "--ms", &ms, "--hold-us", &hold_us];
    if set_up.processes > 1 {
        work.push("--one-thread");
    }
    if set_up.apart {
        work.push("--apart");
    }
    let mut workers = (0..set_up.processes)
        .map(|_| Worker::spawn(run.backend, contestant, place, &work))
        .collect::<Result<Vec<_>>>()?;
    workers.iter_mut().try_for_each(Worker::until_ready)?;
    Ok(workers)
}

fn contend(workers: &mut [Worker], set_up: &SetUp) -> Result<Figures> {
    workers.iter_mut().try_for_each(Worker::go)?;
    let mut holds = Vec::new();
    for (process, worker) in workers.iter_mut().enumerate() {
        let tasks: Vec<Vec<[u64; 3]>> = worker.answer(Duration::from_secs(120))?;
        for (task, turns) in tasks.into_iter().enumerate() {
            holds.extend(turns.into_iter().map(|[_, granted, released]| Hold { granted, released, process, task }));
        }
    }
    holds.sort_by_key(|hold| hold.granted);
    Ok(Figures::of(&holds, (set_up.processes * set_up.tasks) as usize))
}

/// What passes between clients and server for a hand-off. Not timed: the proxy takes its time.
fn count(run: &mut Run, contestant: &Contestant, of: &Of, set_up: &SetUp) -> Result<()> {
    let (Some(counted), Way::Client(_)) = (run.store.counted()?, &contestant.way) else { return Ok(()) };
    let place = Place { url: counted.url, ..run.place() };
    let mut workers = start(run, contestant, &place, set_up, 300)?;
    let before = counted.proxy.counters();
    let hand_offs = contend(&mut workers, set_up)?.hand_offs as f64;
    let after = counted.proxy.counters();
    run.results.add(of, "requests", (after.requests - before.requests) as f64 / hand_offs);
    run.results.add(of, "connections", after.accepted as f64);
    let bytes = |counters: &testbed::proxy::Counters| counters.bytes_to_server + counters.bytes_to_client;
    run.results.add(of, "bytes", (bytes(&after) - bytes(&before)) as f64 / hand_offs);
    Ok(())
}

fn signal(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    let work = ["signal", "--ms", &run.pick(MS, 100).to_string()];
    let mut worker = Worker::start(run.backend, contestant, &run.place(), &work)?;
    worker.go()?;
    let nanos: Vec<u64> = worker.answer(Duration::from_secs(120))?;
    let mut millis: Vec<f64> = nanos.iter().map(|nanos| *nanos as f64 / 1e6).collect();
    run.results.add(of, "p50 ms", percentile(&mut millis, 50.0));
    run.results.add(of, "p99 ms", percentile(&mut millis, 99.0));
    Ok(())
}

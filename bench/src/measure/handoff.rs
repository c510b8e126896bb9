//! C: from a release to the next grant, among contenders that come back at once, and who is granted it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;

use super::{Run, per_operation};
use crate::contest::{Contestant, Kind, Place, Way};
use crate::figures::percentile;
use crate::results::Of;
use crate::worker::Worker;

/// The setting of a floor that is one signal's way and knows no contenders.
pub(crate) const SIGNAL: &str = "one signal";

/// Each task is a client of its own: all of them wait at the store.
const APART: &str = "over processes, a client each";

/// Where contenders are, and how many processes of how many tasks.
const SETTINGS: &[(&str, &[(u32, u32)])] = &[
    ("in one process", &[(1, 2), (1, 8), (1, 64)]),
    ("over processes", &[(2, 1), (8, 1), (8, 8)]),
    (APART, &[(8, 8)]),
];

pub(crate) fn run(run: &mut Run) {
    for round in 0..run.pick(3, 1) {
        for (place, set_ups) in SETTINGS {
            // Held for no time at all shows what the store can do; held for a moment, who is next.
            for hold_us in run.pick(&[1_000, 0][..], &[1_000]) {
                for (processes, tasks) in run.pick(set_ups, &&set_ups[set_ups.len() / 2..]).iter().copied() {
                    let setting = format!("{place}, held {} ms", hold_us / 1_000);
                    let set_up = SetUp { processes, tasks, hold_us: *hold_us, apart: *place == APART };
                    run.turns(Kind::Handoff, &setting, u64::from(processes * tasks), |run, contestant, of| {
                        turn(run, contestant, of, &set_up)?;
                        if round == 0 && set_up.hold_us > 0 { count(run, contestant, of, &set_up) } else { Ok(()) }
                    });
                }
            }
        }
        run.turns(Kind::Handoff, SIGNAL, 2, signal);
    }
}

struct SetUp {
    processes: u32,
    tasks: u32,
    hold_us: u64,
    apart: bool,
}

/// One hold: when it was granted, when its release began, and whose it was.
struct Hold {
    granted: u64,
    released: u64,
    process: usize,
    task: usize,
}

fn turn(run: &mut Run, contestant: &Contestant, of: &Of, set_up: &SetUp) -> Result<()> {
    if let Way::Signal(_) = contestant.way {
        return Ok(());
    }
    let mut workers = start(run, contestant, &run.place(), set_up)?;
    let before = run.store.commands()?;
    let holds = contend(&mut workers)?;
    let commands = per_operation(before, run.store.commands()?, holds.len());
    let figures = Figures::of(&holds);
    for (metric, value) in [
        ("hand-offs/s", figures.per_second),
        ("p50 ms", figures.p50),
        ("p99 ms", figures.p99),
        ("back %", figures.back),
        ("same process %", figures.same_process),
        ("least/most", figures.least_to_most),
        ("held by two", figures.overlaps as f64),
    ] {
        run.results.add(of, metric, value);
    }
    if let Some(commands) = commands {
        run.results.add(of, "commands", commands);
    }
    Ok(())
}

fn start(run: &Run, contestant: &Contestant, place: &Place, set_up: &SetUp) -> Result<Vec<Worker>> {
    let (tasks, ms, hold_us) = (set_up.tasks.to_string(), run.pick(1_000, 300).to_string(), set_up.hold_us.to_string());
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

fn contend(workers: &mut [Worker]) -> Result<Vec<Hold>> {
    workers.iter_mut().try_for_each(Worker::go)?;
    let mut holds = Vec::new();
    for (process, worker) in workers.iter_mut().enumerate() {
        let tasks: Vec<Vec<[u64; 3]>> = worker.answer(Duration::from_secs(120))?;
        for (task, turns) in tasks.into_iter().enumerate() {
            holds.extend(turns.into_iter().map(|[_, granted, released]| Hold { granted, released, process, task }));
        }
    }
    holds.sort_by_key(|hold| hold.granted);
    Ok(holds)
}

struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    back: f64,
    same_process: f64,
    least_to_most: f64,
    overlaps: usize,
}

impl Figures {
    /// `holds` in the order of their grants.
    fn of(holds: &[Hold]) -> Self {
        let contender = |hold: &Hold| (hold.process, hold.task);
        let (mut between, mut back, mut same_process, mut overlaps) = (Vec::new(), 0, 0, 0);
        let (mut grants, mut busy_until) = (HashMap::new(), 0);
        for hold in holds {
            *grants.entry(contender(hold)).or_insert(0_u32) += 1;
            overlaps += usize::from(hold.granted < busy_until);
            busy_until = busy_until.max(hold.released);
        }
        for pair in holds.windows(2) {
            same_process += u32::from(pair[0].process == pair[1].process);
            if contender(&pair[0]) == contender(&pair[1]) {
                back += 1;
            } else {
                between.push(pair[1].granted.saturating_sub(pair[0].released) as f64 / 1e6);
            }
        }
        let seconds = match holds {
            [first, .., last] => (last.granted - first.granted) as f64 / 1e9,
            _ => f64::NAN,
        };
        let (least, most) = (grants.values().min(), grants.values().max());
        let share = |count: u32| f64::from(count) * 100.0 / holds.len().saturating_sub(1).max(1) as f64;
        Self {
            per_second: between.len() as f64 / seconds,
            p50: percentile(&mut between, 50.0),
            p99: percentile(&mut between, 99.0),
            back: share(back),
            same_process: share(same_process),
            least_to_most: f64::from(*least.unwrap_or(&0)) / f64::from(*most.unwrap_or(&1)),
            overlaps,
        }
    }
}

/// What passes between clients and server for a hand-off. Not timed: the proxy takes its time.
fn count(run: &mut Run, contestant: &Contestant, of: &Of, set_up: &SetUp) -> Result<()> {
    let (Some(counted), Way::Client(_)) = (run.store.counted()?, &contestant.way) else { return Ok(()) };
    let place = Place { url: counted.url, ..run.place() };
    let mut workers = start(run, contestant, &place, set_up)?;
    let before = counted.proxy.counters();
    let grants = contend(&mut workers)?.len().max(1) as f64;
    let after = counted.proxy.counters();
    run.results.add(of, "requests", (after.requests - before.requests) as f64 / grants);
    run.results.add(of, "connections", after.accepted as f64);
    let bytes = |counters: &testbed::proxy::Counters| counters.bytes_to_server + counters.bytes_to_client;
    run.results.add(of, "bytes", (bytes(&after) - bytes(&before)) as f64 / grants);
    Ok(())
}

fn signal(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    let Way::Signal(_) = contestant.way else { return Ok(()) };
    let signals = run.pick(2_000, 100).to_string();
    let mut worker = Worker::start(run.backend, contestant, &run.place(), &["signal", "--signals", &signals])?;
    worker.go()?;
    let nanos: Vec<u64> = worker.answer(Duration::from_secs(120))?;
    let mut millis: Vec<f64> = nanos.iter().map(|nanos| *nanos as f64 / 1e6).collect();
    run.results.add(of, "p50 ms", percentile(&mut millis, 50.0));
    run.results.add(of, "p99 ms", percentile(&mut millis, 99.0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Figures, Hold};

    fn hold(process: usize, granted: u64, released: u64) -> Hold {
        Hold { granted, released, process, task: 0 }
    }

    #[test]
    fn a_grant_that_goes_back_is_no_hand_off() {
        const MS: u64 = 1_000_000;
        let figures = Figures::of(&[hold(0, 0, MS), hold(0, 2 * MS, 3 * MS), hold(1, 5 * MS, 6 * MS)]);
        assert!((figures.p50 - 2.0).abs() < 1e-9, "{}", figures.p50);
        assert!((figures.back - 50.0).abs() < 1e-9, "{}", figures.back);
        assert!((figures.least_to_most - 0.5).abs() < 1e-9, "{}", figures.least_to_most);
        assert_eq!(figures.overlaps, 0);
    }

    #[test]
    fn two_that_hold_at_once_are_counted() {
        let figures = Figures::of(&[hold(0, 0, 10), hold(1, 2, 3), hold(0, 5, 6), hold(1, 11, 12)]);
        assert_eq!(figures.overlaps, 2);
    }
}

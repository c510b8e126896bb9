//! A: acquire + release of a lock that nobody else wants, by one task.

use std::time::Duration;

use anyhow::Result;

use super::{Run, per_operation};
use crate::contest::{Contestant, Kind, Place, Way};
use crate::figures::percentile;
use crate::results::Of;
use crate::worker::Worker;

const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn run(run: &mut Run) {
    for _ in 0..run.pick(5, 2) {
        run.turns(Kind::Uncontended, "", 1, turn);
    }
    run.turns(Kind::Uncontended, "", 1, count);
}

fn turn(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    if let Way::Signal(_) = contestant.way {
        return Ok(());
    }
    let place = Place { alone: true, ..run.place() };
    let pairs = run.pick(run.store.pairs(), 300).to_string();
    let mut worker = Worker::start(run.backend, contestant, &place, &["alone", "--pairs", &pairs])?;
    let before = run.store.commands()?;
    worker.go()?;
    let nanos: Vec<u64> = worker.answer(LIMIT)?;
    let commands = per_operation(before, run.store.commands()?, nanos.len());
    let mut micros: Vec<f64> = nanos.iter().map(|nanos| *nanos as f64 / 1e3).collect();
    run.results.add(of, "p50 us", percentile(&mut micros, 50.0));
    run.results.add(of, "p99 us", percentile(&mut micros, 99.0));
    if let Some(commands) = commands {
        run.results.add(of, "commands", commands);
    }
    Ok(())
}

/// What passes between client and server. Not timed: the proxy takes its time.
fn count(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    let (Some(counted), Way::Client(_)) = (run.store.counted()?, &contestant.way) else { return Ok(()) };
    let place = Place { url: counted.url, alone: true, ..run.place() };
    let mut worker = Worker::start(run.backend, contestant, &place, &["alone", "--pairs", "100"])?;
    let before = counted.proxy.counters();
    worker.go()?;
    let pairs = worker.answer::<Vec<u64>>(LIMIT)?.len() as f64;
    let after = counted.proxy.counters();
    run.results.add(of, "requests", (after.requests - before.requests) as f64 / pairs);
    run.results.add(of, "bytes sent", (after.bytes_to_server - before.bytes_to_server) as f64 / pairs);
    run.results.add(of, "bytes received", (after.bytes_to_client - before.bytes_to_client) as f64 / pairs);
    Ok(())
}

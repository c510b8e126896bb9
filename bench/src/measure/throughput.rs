//! B: acquire + release on distinct keys by many tasks of one process.

use std::time::Duration;

use anyhow::Result;

use super::Run;
use crate::contest::{Contestant, Kind, Way};
use crate::figures::percentile;
use crate::results::Of;
use crate::worker::Worker;

pub(crate) fn run(run: &mut Run) {
    for _ in 0..run.pick(3, 1) {
        for tasks in run.pick(&[1, 16, 64, 256, 1024][..], &[1, 64, 1024]) {
            run.turns(Kind::Throughput, "", *tasks, turn);
        }
    }
}

fn turn(run: &mut Run, contestant: &Contestant, of: &Of) -> Result<()> {
    if let Way::Signal(_) = contestant.way {
        return Ok(());
    }
    let (tasks, ms) = (of.load.to_string(), run.pick(500, 200).to_string());
    let work = ["contend", "--distinct", "--tasks", &tasks, "--ms", &ms];
    let mut worker = Worker::start(run.backend, contestant, &run.place(), &work)?;
    worker.go()?;
    let tasks: Vec<Vec<[u64; 3]>> = worker.answer(Duration::from_secs(120))?;
    // A pair takes from one asking to the next.
    let mut micros: Vec<f64> =
        tasks.iter().flat_map(|turns| turns.windows(2).map(|pair| (pair[1][0] - pair[0][0]) as f64 / 1e3)).collect();
    let all = || tasks.iter().flatten();
    let (began, ended) = (all().map(|turn| turn[0]).min(), all().map(|turn| turn[2]).max());
    let seconds = (ended.unwrap_or(1) - began.unwrap_or(0)) as f64 / 1e9;
    run.results.add(of, "pairs/s", all().count() as f64 / seconds);
    run.results.add(of, "p50 us", percentile(&mut micros, 50.0));
    run.results.add(of, "p99 us", percentile(&mut micros, 99.0));
    Ok(())
}

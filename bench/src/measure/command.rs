//! F: a command run under a lock, against the command alone.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};

use super::Run;
use crate::contest::{Kind, Program, Role};
use crate::figures::percentile;
use crate::results::{About, OUR_COMMAND, Of};

/// The command alone.
pub(crate) const FLOOR: &str = "true";

pub(crate) fn run(run: &mut Run) {
    let mut programs =
        vec![Program { name: FLOOR, lacks: &[], note: "the command alone", command: Box::new(|| Command::new(FLOOR)) }];
    programs.extend(run.store.programs());
    let skips = |kind| (kind, "a command".to_owned());
    for program in &programs {
        let role = match program.name {
            FLOOR => Role::Floor,
            OUR_COMMAND => Role::Ours,
            _ => Role::Peer,
        };
        let others =
            [Kind::Uncontended, Kind::Throughput, Kind::Handoff, Kind::Heartbeats, Kind::Recovery, Kind::Waiting];
        run.results.contestants.push(About {
            name: program.name.into(),
            role,
            lacks: program.lacks.iter().map(|lack| lack.text().into()).collect(),
            note: program.note.into(),
            skips: others.map(skips).into(),
        });
    }
    for _ in 0..run.pick(5, 1) {
        let mut samples = vec![Vec::new(); programs.len()];
        for _ in 0..run.pick(40, 5) {
            for (program, samples) in programs.iter().zip(&mut samples) {
                match time(&mut (program.command)()) {
                    Ok(millis) => samples.push(millis),
                    Err(error) => run.results.fail(of(program), format!("{error:#}")),
                }
            }
        }
        for (program, samples) in programs.iter().zip(&mut samples) {
            run.results.add(&of(program), "p50 ms", percentile(samples, 50.0));
            run.results.add(&of(program), "p99 ms", percentile(samples, 99.0));
        }
    }
}

fn of(program: &Program) -> Of {
    Of { kind: Kind::Command, contestant: program.name.into(), setting: String::new(), load: 1 }
}

fn time(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let millis = began.elapsed().as_secs_f64() * 1e3;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(millis)
}

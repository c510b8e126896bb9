//! A history: what all journals of a run tell together.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use super::event::{Act, Deed, Line, Nanos, What};
use super::journal;
use super::resource::{Resource, Step};
use super::span::{Span, merged, touching};

/// All that is known of a run.
#[derive(Debug, Default)]
pub(super) struct History {
    /// When the run began.
    pub(super) start: Nanos,
    pub(super) events: usize,
    pub(super) processes: Vec<Process>,
    pub(super) ops: Vec<Op>,
    pub(super) acts: Vec<Act>,
    /// What each key's resource took, in its order.
    pub(super) resources: Vec<(String, Vec<Step>)>,
    pub(super) trespasses: Vec<Trespass>,
    /// Calls that the store failed, beyond acquires.
    pub(super) failures: Vec<Failure>,
}

/// A call that the store failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// An index into the processes.
    pub(super) process: usize,
    pub(super) since: Nanos,
    pub(super) at: Nanos,
    pub(super) error: String,
}

/// One client process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) name: String,
    /// Before it was started.
    pub(super) started: Nanos,
    /// Before it ended, on purpose or by a kill.
    pub(super) gone: Option<Nanos>,
    /// The kill, if that is what ended it.
    pub(super) killed: Option<Nanos>,
    /// When it may have been stopped: from before SIGSTOP to after SIGCONT. In order; no two touch.
    pub(super) stops: Vec<Span>,
    /// When its way to the store was not what it should be. In order; no two touch.
    pub(super) troubles: Vec<Span>,
}

impl Process {
    /// Whether there was trouble at some time of these. One that was stopped till just before finds out only now
    /// what happened meanwhile. It may have run for a moment before its stop is written down as over.
    pub(super) fn troubled(&self, from: Nanos, to: Nanos) -> bool {
        let begun = self.stops.partition_point(|stop| stop.0 <= from);
        let stop = begun.checked_sub(1).map(|last| self.stops[last]);
        let just_before = stop.filter(|stop| stop.1 >= from.saturating_sub(AFTERMATH));
        !touching(&self.troubles, (just_before.map_or(from, |stop| stop.0), to)).is_empty()
    }

    /// Whether it was stopped for a while in this span: the limits of its calls may have passed meanwhile.
    pub(super) fn stood_still(&self, from: Nanos, to: Nanos) -> bool {
        let within = touching(&self.stops, (from, to));
        // A process has few calls under way at a time, so all of them together walk each stop a few times.
        within.iter().any(|stop| stop.1.min(to).saturating_sub(stop.0.max(from)) >= STANDSTILL)
    }
}

/// How long a process that was stopped may come upon connections that have broken meanwhile.
const AFTERMATH: Nanos = 3_000_000_000;

/// A standstill that is shorter than this makes no call fail.
const STANDSTILL: Nanos = 500_000_000;

/// One acquisition, from the call to the end of what it was granted.
#[derive(Debug, Default)]
pub(super) struct Op {
    /// An index into the processes.
    pub(super) process: usize,
    pub(super) key: String,
    pub(super) waits: bool,
    pub(super) invoked: Nanos,
    /// After the call was over, however.
    pub(super) over: Option<Nanos>,
    pub(super) error: Option<String>,
    pub(super) grant: Option<Grant>,
}

/// What an acquisition was granted, and what became of it.
#[derive(Debug, Default, Clone)]
pub(super) struct Grant {
    pub(super) token: u64,
    pub(super) owner: String,
    pub(super) ttl: Nanos,
    pub(super) returned: Nanos,
    /// The last moment at which the guard is known to have said that the lock is held.
    pub(super) last_held: Nanos,
    /// The latest deadline known; never later than the real one.
    pub(super) deadline: Nanos,
    pub(super) let_go: Option<Nanos>,
    /// After the guard was first seen to say that the lock is lost, and why.
    pub(super) lost: Option<(Nanos, String)>,
    /// After the release, and whether the store called the lock ours.
    pub(super) released: Option<(Nanos, bool)>,
    /// Writes the resource refused: when that was seen, and the token it named.
    pub(super) refused: Vec<(Nanos, u64)>,
    pub(super) writes: u64,
    /// Whom the store named as the holder, seen by the holder itself.
    pub(super) inspected: Vec<(Nanos, Option<String>)>,
}

/// A release by an owner that holds nothing.
#[derive(Debug)]
pub(super) struct Trespass {
    pub(super) at: Nanos,
    pub(super) key: String,
    pub(super) owner: String,
    pub(super) freed: bool,
}

/// Reads all journals of a run.
pub(super) fn load(directory: &Path, driver: &Path, keys: &[String]) -> Result<History> {
    let acts: Vec<Act> = journal::read(driver)?;
    let mut history = History { start: acts.first().map_or(0, |act| act.before), ..History::default() };
    let mut index = HashMap::new();
    for act in &acts {
        if let Deed::Started { process } = &act.deed {
            index.insert(process.clone(), history.processes.len());
            history.processes.push(Process { name: process.clone(), started: act.before, ..Process::default() });
        }
    }
    history.take_acts(&acts, &index);
    history.events = acts.len();
    history.acts = acts;
    for process in 0..history.processes.len() {
        let path = directory.join(format!("{}.journal", history.processes[process].name));
        // A process may have been killed before it began its journal.
        let lines = if path.exists() { journal::read(&path)? } else { Vec::new() };
        history.take_lines(process, lines);
    }
    for key in keys {
        let resource = Resource::of(directory, key);
        let steps = if resource.path().exists() { journal::read(resource.path())? } else { Vec::new() };
        history.resources.push((key.clone(), steps));
    }
    Ok(history)
}

impl History {
    fn take_acts(&mut self, acts: &[Act], index: &HashMap<String, usize>) {
        let mut stopped: HashMap<usize, Nanos> = HashMap::new();
        let mut troubles: HashMap<(&str, Option<usize>), Nanos> = HashMap::new();
        let mut over: Vec<(Option<usize>, Span)> = Vec::new();
        for act in acts {
            match &act.deed {
                Deed::Stopped { process } => {
                    stopped.entry(index[process]).or_insert(act.before);
                }
                Deed::Continued { process } => {
                    if let Some(from) = stopped.remove(&index[process]) {
                        self.processes[index[process]].stops.push((from, act.after));
                    }
                }
                Deed::Killed { process } => {
                    let process = &mut self.processes[index[process]];
                    process.killed = Some(act.before);
                    process.gone = Some(act.before);
                }
                // One that failed without a word of its own was gone by then at the latest.
                Deed::Ended { process, .. } => {
                    self.processes[index[process]].gone.get_or_insert(act.before);
                }
                Deed::Trouble { what, place } => {
                    troubles.insert((what.as_str(), *place), act.before);
                }
                Deed::Well { what, place } => {
                    if let Some(from) = troubles.remove(&(what.as_str(), *place)) {
                        over.push((*place, (from, act.after)));
                    }
                }
                Deed::Quiet
                | Deed::ClockSet { .. }
                | Deed::Started { .. }
                | Deed::Broke { .. }
                | Deed::Spared { .. }
                | Deed::Removed { .. }
                | Deed::LeftBehind { .. } => {}
            }
        }
        for (process, from) in stopped {
            self.processes[process].stops.push((from, Nanos::MAX));
        }
        over.extend(troubles.into_iter().map(|((_, place), from)| (place, (from, Nanos::MAX))));
        self.take_troubles(&over);
    }

    /// Puts each trouble down with the processes that it is about: those that ran then, in one place or in all.
    fn take_troubles(&mut self, troubles: &[(Option<usize>, Span)]) {
        let mut by_place: HashMap<Option<usize>, Vec<Span>> = HashMap::new();
        for process in &mut self.processes {
            let place = super::fleet::place_of(&process.name);
            let here = by_place.entry(place).or_insert_with(|| {
                let here = troubles.iter().filter(|(whose, _)| whose.is_none() || *whose == place);
                merged(here.map(|(_, span)| *span).collect())
            });
            process.troubles = touching(here, (process.started, process.gone.unwrap_or(Nanos::MAX))).to_vec();
        }
    }

    fn take_lines(&mut self, process: usize, lines: Vec<Line>) {
        self.events += lines.len();
        let mut index: HashMap<u64, usize> = HashMap::new();
        for Line { at, op, what } in lines {
            match what {
                What::Exits => {
                    let gone = &mut self.processes[process].gone;
                    *gone = Some(gone.map_or(at, |gone| gone.min(at)));
                }
                What::Helpless { since, error } => self.failures.push(Failure { process, since, at, error }),
                What::Trespassed { key, owner, freed } => self.trespasses.push(Trespass { at, key, owner, freed }),
                What::Invoked { key, waits } => {
                    index.insert(op, self.ops.len());
                    self.ops.push(Op { process, key, waits, invoked: at, ..Op::default() });
                }
                what => self.ops[index[&op]].take(at, what),
            }
        }
    }
}

impl Op {
    fn take(&mut self, at: Nanos, what: What) {
        let grant = self.grant.as_mut();
        match (what, grant) {
            (What::Granted { token, owner, ttl, deadline }, None) => {
                self.over = Some(at);
                let (returned, last_held) = (at, at);
                self.grant = Some(Grant { token, owner, ttl, returned, last_held, deadline, ..Grant::default() });
            }
            (What::NotGranted | What::Abandoned, _) => self.over = Some(at),
            (What::Failed { error }, _) => {
                self.over = Some(at);
                self.error = Some(error);
            }
            (What::Held { deadline }, Some(grant)) => {
                grant.last_held = grant.last_held.max(at);
                grant.deadline = grant.deadline.max(deadline);
            }
            (What::NotHeld { reason }, Some(grant)) => {
                grant.lost.get_or_insert((at, reason));
            }
            (What::LetGo { .. }, Some(grant)) => grant.let_go = Some(at),
            (What::Released { ours }, Some(grant)) => grant.released = Some((at, ours)),
            (What::Wrote { .. }, Some(grant)) => grant.writes += 1,
            (What::Refused { highest }, Some(grant)) => grant.refused.push((at, highest)),
            (What::Inspected { owner }, Some(grant)) => grant.inspected.push((at, owner)),
            (what, grant) => unreachable!("{what:?} can't follow upon {grant:?}"),
        }
    }
}

//! The measurements. Each takes its turns: the first contestant, the second, ..., and again, in several rounds, so that
//! what the machine does meanwhile falls on all of them.

pub(crate) mod command;
mod handoff;
mod heartbeats;
mod recovery;
mod throughput;
mod uncontended;
mod waiting;

use std::time::Instant;

use anyhow::Result;

use crate::contest::{Contestant, Kind, Place, Store, Way};
use crate::results::{About, Of, Results};
use crate::stores::Backend;

/// One run on one backend.
pub(crate) struct Run<'a> {
    pub(crate) backend: Backend,
    pub(crate) store: &'a dyn Store,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) quick: bool,
    pub(crate) results: Results,
    turns: u32,
}

/// What is run.
pub(crate) struct Plan<'a> {
    pub(crate) backend: Backend,
    pub(crate) quick: bool,
    pub(crate) python: bool,
    /// All, if empty.
    pub(crate) kinds: &'a [Kind],
    /// Of all, if empty.
    pub(crate) contestants: &'a [String],
}

type Measure = fn(&mut Run);

/// Runs it, and tells as it goes.
pub(crate) fn run(plan: &Plan) -> Result<Results> {
    // Workers inherit it: a connection for each of 1,000 waiters is more than a shell's usual limit allows.
    crate::process::raise_file_limit();
    let store = plan.backend.start()?;
    let mut contestants = plan.backend.contestants();
    contestants.retain(|one| plan.python || !matches!(one.way, Way::Python(_)));
    contestants.retain(|one| plan.contestants.is_empty() || plan.contestants.iter().any(|name| name == one.name));
    let mut results = Results::new(plan.backend.name(), store.version(), plan.quick);
    results.contestants = contestants.iter().map(About::from).collect();
    let mut run =
        Run { backend: plan.backend, store: store.as_ref(), contestants, quick: plan.quick, results, turns: 0 };
    println!("\n{}: {}", plan.backend.name(), run.results.store);
    let all: [(Kind, Measure); 7] = [
        (Kind::Uncontended, uncontended::run),
        (Kind::Throughput, throughput::run),
        (Kind::Handoff, handoff::run),
        (Kind::Heartbeats, heartbeats::run),
        (Kind::Recovery, recovery::run),
        (Kind::Waiting, waiting::run),
        (Kind::Command, command::run),
    ];
    let began = Instant::now();
    for (kind, measure) in all {
        if plan.kinds.is_empty() || plan.kinds.contains(&kind) {
            let began = Instant::now();
            measure(&mut run);
            println!("{}  ({:.0?})", crate::report::text(&run.results, kind), began.elapsed());
        }
    }
    run.results.seconds = began.elapsed().as_secs_f64();
    Ok(run.results)
}

impl Run<'_> {
    /// The one, or with `--quick` the other.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Where this turn's workers go.
    fn place(&self) -> Place {
        Place { url: self.store.url(), ttl_ms: 30_000, alone: false, tag: format!("turn{}", self.turns) }
    }

    /// One turn of each that takes part and hasn't failed. A failure is told and noted, and the others go on.
    fn turns(
        &mut self,
        kind: Kind,
        setting: &str,
        load: u64,
        mut turn: impl FnMut(&mut Self, &Contestant, &Of) -> Result<()>,
    ) {
        let contestants = std::mem::take(&mut self.contestants);
        for contestant in contestants.iter().filter(|one| one.takes_part(kind)) {
            let of = Of { kind, contestant: contestant.name.into(), setting: setting.into(), load };
            if self.results.failures.iter().any(|failure| failure.of == of) {
                continue;
            }
            self.turns += 1;
            if let Err(error) = turn(self, contestant, &of) {
                eprintln!("  {}, {kind:?} {setting} {load}: {error:#}", contestant.name);
                self.results.fail(of, format!("{error:#}"));
            }
        }
        self.contestants = contestants;
    }
}

/// Commands of the server per operation, between two looks; of no operations: no number.
fn per_operation(before: Option<u64>, after: Option<u64>, operations: usize) -> Option<f64> {
    Some(after?.saturating_sub(before?) as f64 / operations as f64)
}

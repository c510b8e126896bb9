//! The proof of lock-core itself: clients that do everything a program may do with locks, under everything that
//! can go wrong, and a check of what happened.

mod holder;
mod resource;
mod worker;
mod workload;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::clock::Nanos;
use super::fault::{Fault, FaultKind};
use super::history::{Event, fingerprint};
use super::run::Simulation;
use super::{check, shrink};
use resource::Resources;
use worker::Worker;
use workload::Step;

/// The TTL of all locks in a trial.
const TTL: Duration = Duration::from_secs(10);

/// The limit of each call to the store.
const CALL: Duration = Duration::from_secs(2);

/// When what begins, in true time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phases {
    pub(super) ttl: Duration,
    /// No fault comes after this.
    pub(super) healed: Nanos,
    /// Nothing of the faults is left.
    pub(super) closing: Nanos,
    /// Everything is let go.
    pub(super) closes: Nanos,
    /// And must be gone from the store.
    pub(super) over: Nanos,
}

/// What is done, and what goes wrong: all that a trial consists of, apart from its seed.
#[derive(Debug, Clone)]
enum Item {
    Fault(Fault),
    Step(Step),
}

/// A trial that went well.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Passed {
    /// A number that is the same for the same history.
    pub fingerprint: u64,
    /// How many things happened.
    pub events: usize,
    /// How many locks were granted to clients.
    pub grants: usize,
}

/// A trial in which something happened that must not: told by its seed, what was broken, and the fewest steps and
/// faults with which it still happens.
#[derive(Debug, Clone)]
pub struct Failure {
    seed: u64,
    clients: usize,
    items: Vec<Item>,
    of: usize,
    violations: Vec<String>,
    log: Vec<String>,
}

/// Runs the trial of a seed: two or three clients over one simulated store, whose steps and faults the seed draws.
///
/// # Errors
/// [`Failure`], after the schedule was shrunk.
pub fn trial(seed: u64) -> Result<Passed, Box<Failure>> {
    let (clients, items) = schedule(seed);
    let (events, violations) = run(seed, clients, &items);
    if violations.is_empty() {
        let grants = events.iter().filter(|event| event.is_grant()).count();
        return Ok(Passed { fingerprint: fingerprint(&events), events: events.len(), grants });
    }
    let of = items.len();
    let items = shrink::shrink(items, |items| !run(seed, clients, items).1.is_empty());
    let (events, violations) = run(seed, clients, &items);
    let log = events.iter().map(ToString::to_string).collect();
    Err(Box::new(Failure { seed, clients, items, of, violations, log }))
}

fn schedule(seed: u64) -> (usize, Vec<Item>) {
    let (clients, steps) = workload::steps(seed, TTL);
    let scope = super::plan::Scope { seed, clients, kinds: FaultKind::ALL, ttl: TTL, within: TTL * 4 };
    let faults = super::plan::faults(&scope).into_iter().map(Item::Fault);
    (clients, faults.chain(steps.into_iter().map(Item::Step)).collect())
}

/// Runs a schedule: what happened, and what of it must not have.
fn run(seed: u64, clients: usize, items: &[Item]) -> (Vec<Event>, Vec<String>) {
    let phases = Phases::of(TTL);
    let (ops, resources) = (Arc::new(AtomicUsize::new(0)), Resources::default());
    let mut simulation = Simulation::new(seed);
    simulation.ttl(TTL).faults_within(TTL * 4).limit(TTL * 12);
    for client in 0..clients {
        let steps = items.iter().filter_map(|item| match item {
            Item::Step(step) if step.client == client => Some(step.clone()),
            _ => None,
        });
        let mut tasks = vec![Vec::new(), Vec::new()];
        for step in steps {
            tasks[step.task].push(step);
        }
        let (ops, resources) = (ops.clone(), resources.clone());
        simulation.client(move |client| Worker::new(client, phases, ops, resources).work(tasks));
    }
    let faults = items.iter().filter_map(|item| match item {
        Item::Fault(fault) => Some(fault.clone()),
        Item::Step(_) => None,
    });
    let outcome = simulation.run_under(faults.collect(), Some(phases.over));
    let mut violations = check::violations(outcome.events(), phases);
    violations.extend(outcome.failures());
    (outcome.into_events(), violations)
}

impl Failure {
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What happened in the shrunk run, a line each.
    pub fn log(&self) -> impl Iterator<Item = &str> {
        self.log.iter().map(String::as_str)
    }

    /// What must not have happened.
    pub fn violations(&self) -> impl Iterator<Item = &str> {
        self.violations.iter().map(String::as_str)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}:", self.seed)?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))?;
        writeln!(f, "with {} clients, and {} of {} steps and faults:", self.clients, self.items.len(), self.of)?;
        for item in &self.items {
            match item {
                Item::Fault(fault) => writeln!(f, "  {fault}")?,
                Item::Step(step) => writeln!(f, "  {step}")?,
            }
        }
        write!(f, "again, with all that happened: cargo xtask simulate --seed {}", self.seed)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells the first thing that differs, which a fingerprint can't.
    #[test]
    fn a_seed_makes_the_same_history_line_by_line() {
        for seed in 0..100 {
            let (clients, items) = schedule(seed);
            let histories = [run(seed, clients, &items).0, run(seed, clients, &items).0];
            for (index, (one, other)) in histories[0].iter().zip(&histories[1]).enumerate() {
                let before = &histories[0][index.saturating_sub(5)..index];
                let before: Vec<String> = before.iter().map(ToString::to_string).collect();
                assert_eq!(one.to_string(), other.to_string(), "seed {seed}, after\n{}", before.join("\n"));
            }
        }
    }
}

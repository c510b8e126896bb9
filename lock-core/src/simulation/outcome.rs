//! What came of a run.

use std::fmt;

use super::fault::Fault;
use super::history::{Event, What, fingerprint};
use super::process::Ending;

/// What came of a run.
#[must_use = "a run says by this whether it went well"]
#[derive(Debug)]
pub struct Outcome {
    pub(super) seed: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) events: Vec<Event>,
    pub(super) endings: Vec<Option<Ending>>,
    pub(super) killed: Vec<bool>,
}

impl Outcome {
    /// Whether every program that wasn't killed came to its end without an error.
    pub fn ended_well(&self) -> bool {
        self.failures().next().is_none()
    }

    /// A number that is the same for the same history, and hardly ever for another.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.events)
    }

    /// The faults of the run.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// What happened, a line each.
    pub fn log(&self) -> impl Iterator<Item = String> {
        self.events.iter().map(ToString::to_string)
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        let at_resources = self.events.iter().filter(|event| matches!(event.what, What::Failed { .. }));
        self.of_programs().chain(at_resources.map(|event| event.what.to_string()))
    }

    fn of_programs(&self) -> impl Iterator<Item = String> {
        self.endings.iter().enumerate().filter_map(|(client, ending)| {
            let name = super::fault::name(client);
            match ending {
                Some(Err(error)) => Some(format!("client {name}: {error}")),
                None if !self.killed[client] => Some(format!("client {name} has not come to its end")),
                _ => None,
            }
        })
    }
}

impl fmt::Display for Outcome {
    /// The seed, what failed, and the faults.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        self.failures().try_for_each(|failure| writeln!(f, "{failure}"))?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

//! The world of a run: hosts, a network, a store; stepped in true time.
//!
//! Time goes on in rounds. A message that is sent in a round arrives after it, so within a round the clients and
//! the store can't influence each other, and the order in which they are run doesn't matter. Where nothing is
//! known to happen, rounds are long.

mod acts;
mod network;
mod serving;
mod store_clock;

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::{HostClock, Nanos, nanos};
use super::fault::{Fate, Fault};
use super::history::{Disturbance, History, What};
use super::process::{Ending, Process};
use super::store::Store;
use acts::Act;
use network::{Arrival, Cut};
use store_clock::StoreClock;

pub(super) struct World {
    seed: u64,
    ttl: Nanos,
    now: Nanos,
    pub(super) processes: Vec<Process>,
    /// How many requests each has sent.
    requests: Vec<u64>,
    /// What is on its way to the store or to a resource, by its arrival.
    in_flight: BTreeMap<(Nanos, u64), Arrival>,
    /// What is done to hosts and store, by its time.
    acts: BTreeMap<(Nanos, u64), Act>,
    store: Store,
    store_clock: StoreClock,
    store_is_down: bool,
    fates: BTreeMap<(bool, usize, u64), Fate>,
    cuts: Vec<Cut>,
    history: History,
    /// From then on each client's requests arrive in the order in which they were sent, as over one connection.
    healed: Option<Vec<Nanos>>,
    sequence: u64,
}

/// What is fixed before a run.
pub(super) struct Settings<'a> {
    pub(super) seed: u64,
    pub(super) ttl: Duration,
    pub(super) faults: &'a [Fault],
    /// From when on no message meets a fault.
    pub(super) heal: Duration,
    /// When to write down what the store holds, if at all.
    pub(super) inventory: Option<Nanos>,
}

/// The clock that a host has under these faults.
pub(super) fn host_clock(client: usize, faults: &[Fault], heal: Duration) -> HostClock {
    let mut rate = 0;
    let mut stalls = BTreeMap::new();
    for fault in faults {
        match fault {
            Fault::Drift { client: whose, ppm } if *whose == client => rate = *ppm,
            Fault::Stall { client: whose, look, lasts } if *whose == client => {
                stalls.insert(*look, nanos(*lasts));
            }
            _ => {}
        }
    }
    HostClock::new(rate, stalls, nanos(heal))
}

impl World {
    pub(super) fn new(settings: &Settings<'_>, processes: Vec<Process>, history: History) -> Self {
        let mut world = Self {
            seed: settings.seed,
            ttl: nanos(settings.ttl),
            now: 0,
            requests: vec![0; processes.len()],
            processes,
            in_flight: BTreeMap::new(),
            acts: BTreeMap::new(),
            store: Store::default(),
            store_clock: StoreClock { rate_ppm: 0, jumped: 0 },
            store_is_down: false,
            fates: BTreeMap::new(),
            cuts: Vec::new(),
            history,
            healed: None,
            sequence: 0,
        };
        // Where nothing fails, nothing is overtaken either.
        if settings.faults.is_empty() {
            world.healed = Some(vec![0; world.processes.len()]);
        }
        for fault in settings.faults {
            world.schedule(fault);
        }
        world.at(nanos(settings.heal), Act::Heal);
        if let Some(at) = settings.inventory {
            world.at(at, Act::Inventory);
        }
        world
    }

    fn at(&mut self, at: Nanos, act: Act) {
        let sequence = self.next();
        self.acts.insert((at, sequence), act);
    }

    pub(super) fn now(&self) -> Nanos {
        self.now
    }

    pub(super) fn all_finished(&self) -> bool {
        self.processes.iter().all(Process::is_finished)
    }

    /// One round, not beyond `limit`.
    pub(super) fn step(&mut self, limit: Nanos) {
        let end = self.end_of_round().min(limit).max(self.now + 1);
        self.serve(end);
        for client in 0..self.processes.len() {
            let ran = self.processes[client].run(end);
            if let Some((at, until)) = ran.stalled {
                self.history.add(at, Some(client), What::Disturbed { what: Disturbance::Stalled, until });
            }
            for (at, what) in ran.sent {
                self.submit(client, at, what, end);
            }
        }
        self.now = end;
        while let Some(act) = self.acts.first_entry().filter(|act| act.key().0 <= end) {
            let act = act.remove();
            self.perform(&act);
        }
    }

    fn end_of_round(&self) -> Nanos {
        let (shortest, longest) = (self.ttl / 2_000, self.ttl / 100);
        let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
        let expiry = self.store.next_expiry().map(|reading| self.store_clock.when(reading));
        let processes = self.processes.iter().filter_map(Process::next_known);
        let known = arrival.into_iter().chain(expiry).chain(processes).min().unwrap_or(Nanos::MAX);
        let end = known.clamp(self.now + shortest, self.now + longest);
        self.acts.keys().next().map_or(end, |(at, _)| end.min(*at))
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Ends all processes; answers how each program ended, if it did.
    pub(super) fn end(&mut self) -> Vec<Option<Ending>> {
        let processes = &mut self.processes;
        self.history.unheard(|| processes.iter_mut().map(Process::end).collect())
    }
}

//! Running programs under the faults of a seed.

use std::sync::Arc;
use std::time::Duration;

use super::backend::SimulatedBackend;
use super::chance::Seeded;
use super::client::Client;
use super::clock::{HostClock, Nanos, nanos};
use super::fault::{Fault, FaultKind};
use super::history::History;
use super::outcome::Outcome;
use super::plan;
use super::process::{Body, Ending, Process, outbox};
use super::world::{Settings, World, host_clock};

/// Clients of one simulated store, and the faults that they meet.
///
/// ```
/// use lock_core::simulation::Simulation;
///
/// let mut simulation = Simulation::new(7);
/// for _ in 0..2 {
///     simulation.client(|client| async move {
///         let guard = client.supervisor().lock("k").acquire().await?;
///         client.note(format!("token {}", guard.fencing_token()));
///         guard.release().await?;
///         Ok(())
///     });
/// }
/// let outcome = simulation.run();
/// assert!(outcome.ended_well(), "{outcome}");
/// ```
#[must_use = "nothing happens until it is run"]
pub struct Simulation {
    seed: u64,
    ttl: Duration,
    kinds: Vec<FaultKind>,
    faults: Option<Vec<Fault>>,
    faults_within: Duration,
    limit: Duration,
    bodies: Vec<Body>,
}

impl Simulation {
    /// A simulation without faults and clients. The same seed and the same programs make the same history, bit by
    /// bit, as long as the programs take their time from tokio and their randomness from `fastrand`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ttl: Duration::from_secs(15),
            kinds: Vec::new(),
            faults: None,
            faults_within: Duration::from_secs(60),
            limit: Duration::from_secs(600),
            bodies: Vec::new(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The TTL that the programs use: the delays of messages and the lengths of pauses are chosen by it.
    /// Default: 15 s, as [`LockRequest::ttl`](crate::LockRequest::ttl).
    pub fn ttl(&mut self, ttl: Duration) -> &mut Self {
        self.ttl = ttl;
        self
    }

    /// Lets the seed choose from these kinds of faults. Default: none.
    pub fn fault_kinds(&mut self, kinds: &[FaultKind]) -> &mut Self {
        self.kinds = kinds.to_vec();
        self
    }

    /// Exactly these faults, instead of what the seed would choose.
    pub fn faults(&mut self, faults: Vec<Fault>) -> &mut Self {
        self.faults = Some(faults);
        self
    }

    /// When the last fault is over. Default: after 60 s.
    pub fn faults_within(&mut self, time: Duration) -> &mut Self {
        self.faults_within = time;
        self
    }

    /// When the run ends although programs still go on. Default: after 600 s.
    pub fn limit(&mut self, limit: Duration) -> &mut Self {
        self.limit = limit;
        self
    }

    /// Adds a client: a process on a host of its own, and the program that it runs.
    pub fn client<F, P>(&mut self, program: F) -> &mut Self
    where
        F: FnOnce(Client) -> P + Send + 'static,
        P: Future<Output = Ending> + Send + 'static,
    {
        self.bodies.push(Box::new(move |client| Box::pin(program(client))));
        self
    }

    /// Runs until all programs have ended or were killed, or until the [`limit`](Self::limit). A program that panics has
    /// ended with an error.
    pub fn run(mut self) -> Outcome {
        let faults = self.faults.take().unwrap_or_else(|| self.planned());
        self.run_under(faults, None)
    }

    /// The faults that the seed chooses.
    pub(super) fn planned(&self) -> Vec<Fault> {
        plan::faults(&plan::Scope {
            seed: self.seed,
            clients: self.bodies.len(),
            kinds: &self.kinds,
            ttl: self.ttl,
            within: self.faults_within,
        })
    }

    /// Runs, and writes down what the store holds at the time of the `inventory`.
    pub(super) fn run_under(self, faults: Vec<Fault>, inventory: Option<Nanos>) -> Outcome {
        let _seeded = Seeded::new(self.seed);
        let history = History::default();
        let processes = self.bodies.into_iter().enumerate().map(|(number, body)| {
            let clock = host_clock(number, &faults, self.faults_within);
            start(number, clock, history.clone(), body)
        });
        let settings =
            Settings { seed: self.seed, ttl: self.ttl, faults: &faults, heal: self.faults_within, inventory };
        let mut world = World::new(&settings, processes.collect(), history.clone());
        let limit = nanos(self.limit);
        while !world.all_finished() && world.now() < limit {
            world.step(limit);
        }
        let killed = world.processes.iter().map(|process| !process.is_alive()).collect();
        let endings = world.end();
        Outcome { seed: self.seed, faults, events: history.finish(), endings, killed }
    }
}

fn start(number: usize, clock: HostClock, history: History, body: Body) -> Process {
    let outbox = outbox();
    let backend =
        SimulatedBackend { outbox: outbox.clone(), clock: clock.clone(), client: number, history: history.clone() };
    let client = Client { number, clock: clock.clone(), outbox: outbox.clone(), backend: Arc::new(backend), history };
    Process::start(clock, outbox, client, body)
}

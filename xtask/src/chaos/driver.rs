//! The driver: starts the clients, torments them, and writes down what it did.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use distlock::{BreakOutcome, LockKey, LockRecord, Store};

use super::Options;
use super::client::nanos;
use super::clocks::Clocks;
use super::event::{Deed, Nanos};
use super::fleet::Fleet;
use super::ground::{Ground, Removal, Terms};
use super::journal::{Journal, now};
use super::plan::{Fault, OF_CLIENTS, Plan, Step, Target};

/// How many of each fault were done. (A fault whose target wasn't there is none.)
pub(super) type Done = BTreeMap<Fault, usize>;

/// How often clients and ground are looked after.
const TICK: Duration = Duration::from_millis(2);

/// How long a look at a lock may take.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long everybody is left alone at the end, once all is well: so often as long as somebody may wait for a lock that
/// nobody holds.
const QUIET: f64 = 1.5;

/// How long clients have, at the end, to let go of what they hold: so many TTLs, and a grace for what hangs.
const FAREWELL: (u32, Duration) = (6, Duration::from_secs(10));

/// What the driver acts on.
struct Driver<'a> {
    store: Arc<dyn Store>,
    ground: Ground,
    keys: &'a [LockKey],
    fleet: Fleet,
    done: Done,
}

/// Drives one run. All journals are in `directory` afterwards.
pub(super) async fn drive(options: &Options, directory: &Path, journal: &Path, keys: &[LockKey]) -> Result<Done> {
    let ground = Ground::prepare(options.backend, directory, options.processes)?;
    let store = distlock::open(&ground.url()).await?;
    let clocks = Clocks::find(directory)?;
    let hazards = [OF_CLIENTS.to_vec(), ground.hazards(options.seed, clocks.are_set())].concat();
    let urls = (0..options.processes).map(|place| ground.url_for(place)).collect();
    let until = now() + nanos(options.seconds());
    let settled = until + nanos(Terms::of(options.backend).settles_within);
    let end = settled + nanos(options.patience().mul_f64(QUIET));
    let fleet = Fleet::start(options, directory, Journal::create(journal)?, urls, keys.len(), clocks, (until, end))?;
    let mut driver = Driver { store, ground, keys, fleet, done: Done::new() };
    for step in Plan::new(options.seed, options.processes, keys.len(), options.ttl(), hazards) {
        let at = now() + nanos(step.after);
        driver.tend(at.min(until)).await?;
        if now() >= until {
            break;
        }
        if driver.act(step).await? {
            *driver.done.entry(step.fault).or_default() += 1;
        }
    }
    driver.quiet(end).await?;
    driver.farewell(options.ttl() * FAREWELL.0 + FAREWELL.1).await?;
    driver.look_what_is_left(options.ttl() * Terms::of(options.backend).reaped_within).await?;
    Ok(driver.done)
}

impl Driver<'_> {
    /// Looks after clients and ground until a time.
    async fn tend(&mut self, until: Nanos) -> Result<()> {
        while now() < until {
            tokio::time::sleep(TICK.min(Duration::from_nanos(until.saturating_sub(now())))).await;
            self.look(false)?;
        }
        Ok(())
    }

    fn look(&mut self, mend_all: bool) -> Result<()> {
        let before = now();
        for well in self.ground.mend(mend_all)? {
            self.fleet.tell(before, well);
        }
        self.fleet.look()
    }

    /// Mends everything, and then lets the clients do what they want.
    async fn quiet(&mut self, until: Nanos) -> Result<()> {
        let mut is_told = false;
        while now() < until {
            let before = now();
            self.look(true)?;
            if !is_told && self.ground.is_well() && self.fleet.is_awake() {
                self.fleet.tell(before, Deed::Quiet);
                is_told = true;
            }
            tokio::time::sleep(TICK).await;
        }
        ensure!(is_told, "the store was not well again before the end");
        Ok(())
    }

    /// Waits until all clients have ended, and kills those that don't.
    async fn farewell(&mut self, patience: Duration) -> Result<()> {
        let limit = now() + nanos(patience);
        while now() < limit && (self.fleet.is_running() || !self.ground.is_well()) {
            self.look(true)?;
            tokio::time::sleep(TICK).await;
        }
        self.fleet.end()
    }

    /// A lock whose holder was killed may be held for as long as its lease lives; not longer.
    async fn look_what_is_left(&mut self, reaped_within: Duration) -> Result<()> {
        let limit = now() + nanos(reaped_within + super::GRACE);
        for key in self.keys {
            let (before, owner) = loop {
                let before = now();
                let record = self.store.inspect(key).await?;
                if record.is_none() || before > limit {
                    break (before, record.map(|record| format!("{record}")));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            self.fleet.tell(before, Deed::LeftBehind { key: key.to_string(), owner });
        }
        Ok(())
    }

    /// Does what the plan says; answers whether there was somebody to do it to.
    async fn act(&mut self, step: Step) -> Result<bool> {
        let until = now() + nanos(step.lasts);
        match step.fault {
            Fault::Break => self.break_lock(step.target).await,
            Fault::Remove => self.remove(step.target).await,
            Fault::Kill => self.signal(step, Fleet::kill).await,
            Fault::ShortStop | Fault::LongStop => self.signal(step, Fleet::stop).await,
            Fault::ClockJump => self.fleet.set_clocks(step.lasts),
            Fault::ServerKill | Fault::ServerStop => self.hurt(step.fault, 0, until),
            Fault::Partition | Fault::Cut | Fault::Deaf => match self.client(step.target).await? {
                Some(place) => self.hurt(step.fault, place, until),
                None => Ok(false),
            },
        }
    }

    fn hurt(&mut self, fault: Fault, place: usize, until: Nanos) -> Result<bool> {
        let before = now();
        let Some(deed) = self.ground.hurt(fault, place, until)? else { return Ok(false) };
        self.fleet.tell(before, deed);
        Ok(true)
    }

    async fn signal(&mut self, step: Step, send: fn(&mut Fleet, usize, Nanos) -> Result<bool>) -> Result<bool> {
        let client = self.client(step.target).await?;
        client.map_or(Ok(false), |client| send(&mut self.fleet, client, now() + nanos(step.lasts)))
    }

    /// The place of the client that is meant.
    async fn client(&self, target: Target) -> Result<Option<usize>> {
        match target {
            Target::Client(client) => Ok(Some(client)),
            Target::HolderOf(key) => {
                let holder = self.holder(&self.keys[key]).await?.and_then(|record| record.pid());
                Ok(holder.and_then(|pid| self.fleet.client_of(pid)))
            }
        }
    }

    /// Takes the lock away from the holder that was seen, and from no other.
    async fn break_lock(&mut self, target: Target) -> Result<bool> {
        let Some(key) = self.key(target) else { return Ok(false) };
        let Some(token) = self.holder(&key).await?.and_then(|record| record.token()) else { return Ok(false) };
        let before = now();
        let outcome = match self.store.break_lock(&key, Some(token)).await {
            Ok(outcome) => outcome,
            // It may have been done all the same: the holder is excused, and nobody else.
            Err(error) if error.is_transient() && !self.ground.is_well() => {
                self.fleet.tell(before, Deed::Broke { key: key.to_string(), token: token.get() });
                return Ok(false);
            }
            Err(error) => return Err(error).context("breaking a lock"),
        };
        let (key, token) = (key.to_string(), token.get());
        let broken = matches!(outcome, BreakOutcome::Broken(_));
        self.fleet.tell(before, if broken { Deed::Broke { key, token } } else { Deed::Spared { key, token } });
        Ok(broken)
    }

    async fn remove(&mut self, target: Target) -> Result<bool> {
        let Some(key) = self.key(target) else { return Ok(false) };
        let Some(Removal { before, after, tokens }) = self.ground.remove(&key).await? else { return Ok(false) };
        self.fleet.tell_past(before, after, Deed::Removed { key: key.to_string(), tokens });
        Ok(true)
    }

    fn key(&self, target: Target) -> Option<LockKey> {
        match target {
            Target::HolderOf(key) => Some(self.keys[key].clone()),
            Target::Client(_) => None,
        }
    }

    /// A store that is away names nobody.
    async fn holder(&self, key: &LockKey) -> Result<Option<LockRecord>> {
        // Nor does one that takes its time: clients and servers wait for their next turn meanwhile.
        let Ok(answer) = tokio::time::timeout(PATIENCE, self.store.inspect(key)).await else { return Ok(None) };
        match answer {
            Err(error) if error.is_transient() && !self.ground.is_well() => Ok(None),
            answer => answer.context("looking who holds a lock"),
        }
    }
}

//! A client: a process of its own that takes locks through the public API, and writes down what it sees.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use distlock::{AcquireError, Claim, LockGuard, LockKey, Store, Supervisor};
use fastrand::Rng;

use super::event::{Line, Nanos, What};
use super::holding;
use super::journal::{Journal, now};

/// Nobody waits longer than this: a run has an end.
const LONGEST_WAIT: Duration = Duration::from_secs(40);

/// The options of one client; the driver is who sets them.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    url: String,
    #[arg(long)]
    directory: PathBuf,
    #[arg(long)]
    name: String,
    #[arg(long)]
    seed: u64,
    #[arg(long, value_parser = humantime::parse_duration)]
    ttl: Duration,
    #[arg(long)]
    keys: usize,
    /// When to begin nothing new, on the monotonic clock.
    #[arg(long)]
    until: Nanos,
    /// From when on it does nothing that others suffer from.
    #[arg(long)]
    quiet_from: Nanos,
    /// How many tasks take locks at a time.
    #[arg(long)]
    tasks: u64,
}

/// What the tasks of a client share.
pub(super) struct Client {
    pub(super) locks: Supervisor,
    /// A second connection: to look at locks, and to release what isn't ours.
    pub(super) other: Arc<dyn Store>,
    pub(super) directory: PathBuf,
    pub(super) ttl: Duration,
    pub(super) quiet_from: Nanos,
    journal: Journal,
    ops: Cell<u64>,
}

/// Runs a client to its end.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Orphans would go on for ever, stopped ones too.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let journal = Journal::create(&options.directory.join(format!("{}.journal", options.name)))?;
        let Some((locks, other)) = connect(options, &journal).await else { return Ok(()) };
        let (directory, ttl, quiet_from) = (options.directory.clone(), options.ttl, options.quiet_from);
        let client = Client { locks, other, directory, ttl, quiet_from, journal, ops: Cell::new(0) };
        let tasks = (0..2).map(|number| {
            let rng = Rng::with_seed(options.seed.wrapping_add(number << 32));
            let until = if number < options.tasks { options.until } else { 0 };
            Task { client: &client, rng, released: None }.run(options.keys, until)
        });
        let [one, other] = <[_; 2]>::try_from(tasks.collect::<Vec<_>>()).map_err(|_| ()).expect("two tasks");
        tokio::try_join!(one, other)?;
        let report = client.locks.shutdown().await;
        client.tell(0, now(), What::Exits);
        anyhow::ensure!(report.unreleased() == 0, "{} locks were not released in time", report.unreleased());
        Ok(())
    })
}

/// Both connections, as soon as the store can be reached; `None` if that is not before the run ends.
async fn connect(options: &Options, journal: &Journal) -> Option<(Supervisor, Arc<dyn Store>)> {
    while now() < options.until {
        let since = now();
        let both = tokio::try_join!(distlock::connect(&options.url), distlock::open(&options.url));
        match both {
            Ok(both) => return Some(both),
            Err(error) => {
                let what = What::Helpless { since, error: error.to_string() };
                journal.add(&Line { at: now(), op: 0, what });
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    None
}

impl Client {
    pub(super) fn tell(&self, op: u64, at: Nanos, what: What) {
        self.journal.add(&Line { at, op, what });
    }

    /// Whether the run's quiet end has come.
    pub(super) fn is_quiet(&self) -> bool {
        now() >= self.quiet_from
    }

    /// Tells that the store failed a call begun at `since`. Whether that is excused is for the checker.
    pub(super) fn helpless(&self, since: Nanos, error: &dyn std::fmt::Display) {
        self.tell(0, now(), What::Helpless { since, error: error.to_string() });
    }
}

/// One after the other, a task takes locks.
pub(super) struct Task<'a> {
    pub(super) client: &'a Client,
    pub(super) rng: Rng,
    /// A claim that has been released: its owner may not free the lock again.
    pub(super) released: Option<Claim>,
}

impl Task<'_> {
    async fn run(mut self, keys: usize, until: Nanos) -> Result<()> {
        while now() < until {
            let key = LockKey::new(format!("k{}", self.rng.usize(..keys)))?;
            let op = self.client.ops.get() + 1;
            self.client.ops.set(op);
            if let Some(guard) = self.acquire(op, &key).await {
                holding::hold(&mut self, op, guard).await.with_context(|| format!("holding {key}"))?;
            }
            if self.rng.u8(..8) == 0 {
                self.trespass(&key).await;
            }
            self.pause(4_000).await;
        }
        Ok(())
    }

    /// Tries, waits for a while, or gives up in the middle.
    async fn acquire(&mut self, op: u64, key: &LockKey) -> Option<LockGuard> {
        let client = self.client;
        let request = client.locks.lock(key.clone()).ttl(client.ttl);
        let way = self.rng.u8(..10);
        client.tell(op, now(), What::Invoked { key: key.to_string(), waits: way >= 3 });
        let answer = match way {
            0..=2 => Some(request.try_acquire().await),
            // In the quiet everybody is served, so everybody waits for it.
            3..=7 if client.is_quiet() => Some(request.wait_at_most(LONGEST_WAIT).acquire().await),
            3..=7 => {
                Some(request.wait_at_most(LONGEST_WAIT.min(client.ttl * 16).mul_f64(self.rng.f64())).acquire().await)
            }
            _ => {
                // Mostly during the first call, and sometimes much later.
                let limit = client.ttl.mul_f64(self.rng.f64().powi(6));
                tokio::time::timeout(limit, request.acquire()).await.ok()
            }
        };
        // Before what remains is asked, so that the deadline is no later than the real one.
        let at = now();
        let (guard, what) = match answer {
            None => (None, What::Abandoned),
            Some(Err(AcquireError::Held(_) | AcquireError::WaitTimedOut { .. })) => (None, What::NotGranted),
            Some(Err(error)) => (None, What::Failed { error: error.to_string() }),
            Some(Ok(guard)) => {
                let what = What::Granted {
                    token: guard.fencing_token().get(),
                    owner: guard.owner().to_string(),
                    ttl: nanos(guard.ttl().get()),
                    deadline: at + nanos(guard.remaining()),
                };
                (Some(guard), what)
            }
        };
        client.tell(op, at, what);
        guard
    }

    /// Releases, through another connection, what isn't held: by an owner that never was, or no longer is.
    pub(super) async fn trespass(&mut self, key: &LockKey) {
        let stranger = Claim::new(key.clone(), distlock::OwnerId::mint());
        let claim = self.released.take().filter(|_| self.rng.bool()).unwrap_or(stranger);
        let since = now();
        let freed = match self.client.other.release(&claim).await {
            Ok(answer) => answer == distlock::Release::Released,
            Err(error) => return self.client.helpless(since, &error),
        };
        let (key, owner) = (claim.key().to_string(), claim.owner().to_string());
        self.client.tell(0, now(), What::Trespassed { key, owner, freed });
    }

    pub(super) async fn pause(&mut self, at_most_micros: u64) {
        tokio::time::sleep(Duration::from_micros(self.rng.u64(..at_most_micros))).await;
    }
}

pub(super) fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

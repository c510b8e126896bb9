//! The driver: starts the clients, torments them, and writes down what it did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use distlock::{BreakOutcome, LockKey, LockRecord, Store};

use super::Options;
use super::client::nanos;
use super::event::{Deed, Nanos};
use super::fleet::Fleet;
use super::journal::{Journal, now};
use super::plan::{Fault, Plan, Step, Target};

/// How many of each fault were done. (A fault whose target wasn't there is none.)
pub(super) type Done = BTreeMap<Fault, usize>;

/// How long clients have, at the end, to let go of what they hold.
const FAREWELL: Duration = Duration::from_secs(10);

/// What the driver acts on.
struct Driver<'a> {
    store: Arc<dyn Store>,
    locks: PathBuf,
    keys: &'a [LockKey],
    fleet: Fleet,
    done: Done,
}

/// Drives one run. All journals are in `directory` afterwards.
pub(super) async fn drive(options: &Options, directory: &Path, journal: &Path, keys: &[LockKey]) -> Result<Done> {
    let locks = directory.join("locks");
    std::fs::create_dir(&locks)?;
    let url = format!("file://{}", locks.display());
    let store = distlock::open(&url).await?;
    let until = now() + nanos(options.seconds());
    let fleet = Fleet::start(options, directory, Journal::create(journal)?, &url, keys.len(), until)?;
    let mut driver = Driver { store, locks, keys, fleet, done: Done::new() };
    for step in Plan::new(options.seed, options.processes, keys.len(), options.ttl) {
        let at = now() + nanos(step.after);
        driver.fleet.tend(at.min(until)).await?;
        if now() >= until {
            break;
        }
        if driver.act(step).await? {
            *driver.done.entry(step.fault).or_default() += 1;
        }
    }
    driver.fleet.farewell(FAREWELL).await?;
    for key in keys {
        let before = now();
        let owner = driver.store.inspect(key).await?.map(|record| format!("{record}"));
        driver.fleet.tell(before, Deed::LeftBehind { key: key.to_string(), owner });
    }
    Ok(driver.done)
}

impl Driver<'_> {
    /// Does what the plan says; answers whether there was somebody to do it to.
    async fn act(&mut self, step: Step) -> Result<bool> {
        match step.fault {
            Fault::Break => self.break_lock(step.target).await,
            Fault::Remove => self.remove(step.target),
            Fault::Kill => self.signal(step, Fleet::kill).await,
            Fault::ShortStop | Fault::LongStop => self.signal(step, Fleet::stop).await,
        }
    }

    async fn signal(&mut self, step: Step, send: fn(&mut Fleet, usize, Nanos) -> Result<bool>) -> Result<bool> {
        let client = match step.target {
            Target::Client(client) => Some(client),
            Target::HolderOf(key) => {
                let holder = self.holder(&self.keys[key]).await?.and_then(|record| record.pid());
                holder.and_then(|pid| self.fleet.client_of(pid))
            }
        };
        client.map_or(Ok(false), |client| send(&mut self.fleet, client, now() + nanos(step.lasts)))
    }

    /// Takes the lock away from the holder that was seen, and from no other.
    async fn break_lock(&mut self, target: Target) -> Result<bool> {
        let Some(key) = self.key(target) else { return Ok(false) };
        let Some(token) = self.holder(&key).await?.and_then(|record| record.token()) else { return Ok(false) };
        let before = now();
        let outcome = self.store.break_lock(&key, Some(token)).await.context("breaking a lock")?;
        let (key, token) = (key.to_string(), token.get());
        let broken = matches!(outcome, BreakOutcome::Broken(_));
        self.fleet.tell(before, if broken { Deed::Broke { key, token } } else { Deed::Spared { key, token } });
        Ok(broken)
    }

    /// What `rm -r` does, but for the time it takes: first the whole directory is moved away, so
    /// that it is certain which grants are gone.
    fn remove(&mut self, target: Target) -> Result<bool> {
        let Some(key) = self.key(target) else { return Ok(false) };
        let (slot, away) = (self.locks.join(key.as_str()), self.locks.with_file_name("removed"));
        let before = now();
        match std::fs::rename(&slot, &away) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            answer => answer.context("moving a lock's directory away")?,
        }
        let moved = now();
        let deed = Deed::Removed { key: key.to_string(), tokens: tokens_in(&away)? };
        self.fleet.tell_past(before, moved, deed);
        std::fs::remove_dir_all(&away).context("deleting a lock's directory")?;
        Ok(true)
    }

    fn key(&self, target: Target) -> Option<LockKey> {
        match target {
            Target::HolderOf(key) => Some(self.keys[key].clone()),
            Target::Client(_) => None,
        }
    }

    async fn holder(&self, key: &LockKey) -> Result<Option<LockRecord>> {
        self.store.inspect(key).await.context("looking who holds a lock")
    }
}

/// The tokens of all grants in a lock's directory: each generation's second line is its record.
fn tokens_in(directory: &Path) -> Result<Vec<u64>> {
    #[derive(serde::Deserialize)]
    struct Record {
        token: u64,
    }
    let mut tokens = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
            let record = text.lines().nth(1).and_then(|line| serde_json::from_str::<Record>(line.trim_end()).ok());
            tokens.extend(record.map(|record| record.token));
        }
    }
    Ok(tokens)
}

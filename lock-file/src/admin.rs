//! Looking at the locks of a directory, and taking one away.

use std::io;

use async_trait::async_trait;
use lock_core::{
    BackendError, BreakOutcome, ErrorKind, FencingToken, Finding, LockAdmin, LockKey, LockRecord, Operation, OwnerId,
};

use crate::acquire::{Published, discard};
use crate::backend::FileBackend;
use crate::error::{At, from_io};
use crate::look::{self, Assessment, Current, Verdict};
use crate::name;
use crate::record::{Body, Header, State, timestamp};
use crate::shared::Shared;
use crate::slot::Slot;

/// How often a lock whose holder changes is looked at again before it is broken.
const ROUNDS: u32 = 100;
/// How long a break may take: a process that is stopped in the middle of one is not waited for
/// longer. One that dies there is noticed at once.
const BREAK_NS: u64 = 5_000_000_000;
/// The TTL in the record of a break. No owner's is as short.
const NOBODYS: u64 = 0;

#[async_trait]
impl LockAdmin for FileBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError> {
        let slot = Slot::of(&self.shared.root, key);
        let found = self
            .shared
            .held(&slot)
            .map_err(|error| from_io(Operation::Inspect, "looking at", slot.directory(), error).with_key(key))?;
        Ok(found.map(|(_, found)| found.describe(&self.shared.host, key, &slot)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        self.shared.list(prefix)
    }

    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError> {
        let slot = Slot::of(&self.shared.root, key);
        for _ in 0..ROUNDS {
            let broken = self
                .shared
                .break_once(&slot, key, if_token)
                .map_err(|error| from_io(Operation::Break, "writing in", slot.directory(), error).with_key(key))?;
            if let Some(outcome) = broken {
                return Ok(outcome);
            }
        }
        let message = format!("{} changes faster than it can be broken", slot.directory().display());
        Err(BackendError::new(ErrorKind::Unavailable, Operation::Break, message).with_key(key))
    }

    async fn preflight(&self) -> Vec<Finding> {
        crate::preflight::run(&self.shared)
    }
}

impl Shared {
    /// The current generation, if somebody holds it.
    fn held(&self, slot: &Slot) -> io::Result<Option<(Current, Assessment)>> {
        let Some(current) = look::current(slot)? else { return Ok(None) };
        let found = look::assess(&self.host, &slot.generation(current.number), &current.file)?;
        let being_broken = found.record.as_ref().is_some_and(|record| record.body.ttl_ms == NOBODYS);
        Ok((matches!(found.verdict, Verdict::Held(_)) && !being_broken).then_some((current, found)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        let mut records = Vec::new();
        let entries = std::fs::read_dir(&self.root).at(Operation::List, "listing", &self.root)?;
        for entry in entries {
            let entry = entry.at(Operation::List, "listing", &self.root)?;
            let file_name = entry.file_name();
            // The temporaries, the locks under a prefix ("@..."), and whatever else is no lock of ours.
            let Some(name) = file_name.to_str().filter(|name| !name.starts_with(['.', '@'])) else { continue };
            let slot = Slot::at(entry.path());
            let found = match self.held(&slot) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                Err(error) => {
                    // One odd entry must not hide the others.
                    tracing::warn!(%error, lock = %slot.directory().display(), "who holds this lock can't be told");
                    None
                }
                Ok(None) => continue,
                Ok(Some((_, found))) => Some(found),
            };
            // The record has the whole key, where a long one was cut in the directory's name.
            let record = found.as_ref().and_then(|found| found.record.as_ref());
            let told = record.and_then(|record| LockKey::new(&record.body.key).ok());
            let Some(key) = told.or_else(|| name::key_of(name, name::FOLDS_CASE)) else { continue };
            if key.as_str().starts_with(prefix) {
                records.push(match found {
                    Some(found) => found.describe(&self.host, &key, &slot),
                    None => LockRecord::unknown(key).with_location(slot.directory().display().to_string()),
                });
            }
        }
        records.sort_by(|a, b| a.key().cmp(b.key()));
        Ok(records)
    }

    /// Publishes a successor that is nobody's, then frees it; `None`: the holder changed meanwhile.
    ///
    /// Nobody may succeed it before the look in `publish`, or its number would seem used before:
    /// so until then it says that it is held, and has our kernel lock.
    fn break_once(
        &self,
        slot: &Slot,
        key: &LockKey,
        if_token: Option<FencingToken>,
    ) -> io::Result<Option<BreakOutcome>> {
        let Some((current, found)) = self.held(slot)? else { return Ok(Some(BreakOutcome::Free)) };
        let record = found.describe(&self.host, key, slot);
        if if_token.is_some() && record.token() != if_token {
            return Ok(Some(BreakOutcome::TokenDiffers(record)));
        }
        self.seam.pause(crate::seam::Point::BeforePublish);
        let nobody = OwnerId::mint();
        let over = self.host.now().saturating_add(BREAK_NS);
        let (bytes, header) = self.broken(key, nobody, &found).encode(State::Held(over))?;
        let (file, from) = self.temporary(Some(nobody))?;
        let published = file
            .write(&bytes)
            .and_then(|()| self.publish(slot, current.number + 1, &from, Some(&current)))
            .inspect_err(|_| discard(&from))?;
        if published == Published::First {
            let freed = Header { state: State::Released(self.host.now()), ..header };
            if let Err(error) = file.write(&freed.line()) {
                // Dropping the file lets go of the kernel lock, and that alone frees the lock.
                tracing::debug!(%error, lock = %slot.directory().display(), "broken by the kernel lock alone");
            }
            return Ok(Some(BreakOutcome::Broken(record)));
        }
        discard(&from);
        if published == Published::Late && self.host.now() >= over {
            // Ours may have been the one that was succeeded: a second try could hit an innocent one.
            return Err(io::Error::new(io::ErrorKind::TimedOut, "stopped in the middle; see who holds it now"));
        }
        Ok(None)
    }

    /// What follows a broken generation: nobody's, with the last token, so that later ones are greater.
    fn broken(&self, key: &LockKey, nobody: OwnerId, found: &Assessment) -> Body {
        let holder = lock_core::HolderInfo::this_process();
        Body {
            key: key.as_str().to_owned(),
            owner: Some(nobody.to_string()),
            token: found.token,
            ttl_ms: NOBODYS,
            pid: holder.pid(),
            started: self.host.started_of(holder.pid()),
            host: holder.host().to_owned(),
            program: holder.program().to_owned(),
            label: None,
            acquired_at: timestamp(self.host.wall()),
            boot: self.host.boot.clone(),
            time_ns: self.host.time_ns.clone(),
        }
    }
}

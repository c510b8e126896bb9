//! Looking at the locks of a directory, and taking one away.

use std::io;

use async_trait::async_trait;
use lock_core::{
    BackendError, BreakOutcome, ErrorKind, FencingToken, Finding, LockAdmin, LockKey, LockRecord, Operation,
};

use crate::acquire::{Published, discard};
use crate::backend::FileBackend;
use crate::error::{At, from_io};
use crate::look::{self, Assessment, Current, Verdict};
use crate::name;
use crate::record::{Body, State, timestamp};
use crate::shared::Shared;
use crate::slot::Slot;

/// How often a lock whose holder changes is looked at again before it is broken.
const ROUNDS: u32 = 100;

#[async_trait]
impl LockAdmin for FileBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError> {
        let slot = Slot::of(&self.shared.root, key);
        let found = self
            .shared
            .held(&slot)
            .map_err(|error| from_io(Operation::Inspect, "looking at", slot.directory(), error).with_key(key))?;
        Ok(found.map(|(_, found)| found.describe(key)))
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
    /// The current generation, if it is held.
    fn held(&self, slot: &Slot) -> io::Result<Option<(Current, Assessment)>> {
        let Some(current) = look::current(slot)? else { return Ok(None) };
        let found = look::assess(&self.host, &slot.generation(current.number), &current.file)?;
        Ok(matches!(found.verdict, Verdict::Held(_)).then_some((current, found)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        let mut records = Vec::new();
        let entries = std::fs::read_dir(&self.root).at(Operation::List, "listing", &self.root)?;
        for entry in entries {
            let entry = entry.at(Operation::List, "listing", &self.root)?;
            let file_name = entry.file_name();
            // The temporaries, and whatever else is no lock of ours.
            let Some(name) = file_name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let slot = Slot::at(entry.path());
            let found = match self.held(&slot) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                answer => answer.at(Operation::List, "looking at", slot.directory())?,
            };
            let Some((_, found)) = found else { continue };
            // The record has the whole key, where a long one was cut in the directory's name.
            let told = found.record.as_ref().and_then(|record| LockKey::new(&record.body.key).ok());
            let Some(key) = told.or_else(|| name::key_of(name, name::FOLDS_CASE)) else { continue };
            if key.as_str().starts_with(prefix) {
                records.push(found.describe(&key));
            }
        }
        records.sort_by(|a, b| a.key().cmp(b.key()));
        Ok(records)
    }

    /// Publishes a released successor; `None`: the holder changed meanwhile.
    fn break_once(
        &self,
        slot: &Slot,
        key: &LockKey,
        if_token: Option<FencingToken>,
    ) -> io::Result<Option<BreakOutcome>> {
        let Some((current, found)) = self.held(slot)? else { return Ok(Some(BreakOutcome::Free)) };
        let record = found.describe(key);
        if if_token.is_some() && record.token() != if_token {
            return Ok(Some(BreakOutcome::TokenDiffers(record)));
        }
        self.seam.pause(crate::seam::Point::BeforePublish);
        let (bytes, _) = self.broken(key, &found).encode(State::Released(self.host.now()))?;
        let (file, from) = self.temporary(None)?;
        let published = file
            .write(&bytes)
            .and_then(|()| self.publish(slot, current.number + 1, &from, &file, Some(&current)))
            .inspect_err(|_| discard(&from))?;
        if published == Published::First {
            return Ok(Some(BreakOutcome::Broken(record)));
        }
        discard(&from);
        Ok(None)
    }

    /// What follows a broken generation: nobody's, with the last token, so that later ones are greater.
    fn broken(&self, key: &LockKey, found: &Assessment) -> Body {
        let holder = lock_core::HolderInfo::this_process();
        Body {
            key: key.as_str().to_owned(),
            owner: None,
            token: found.token,
            ttl_ms: 0,
            pid: holder.pid(),
            started: self.host.started,
            host: holder.host().to_owned(),
            program: holder.program().to_owned(),
            label: None,
            acquired_at: timestamp(self.host.wall()),
            boot: self.host.boot.clone(),
            time_ns: self.host.time_ns.clone(),
        }
    }
}

//! Looking at the locks, and taking one away.

use async_trait::async_trait;
use lock_core::{
    BackendError, BreakOutcome, ErrorKind, FencingToken, Finding, LockAdmin, LockKey, LockRecord, Operation, Outcome,
};

use crate::api::Txn;
use crate::backend::{ConsulBackend, Shared};
use crate::error::conflict;
use crate::name::{Place, lock_name};
use crate::record::Record;
use crate::refusal::Refusal;
use crate::tree::Tree;
use crate::wire::{LOCK_FLAGS, Step};

/// How often a lock whose holder changes is looked at again before it is broken.
const ROUNDS: u32 = 20;
/// How many keys are read in one transaction; Consul's own limit is 64.
const READ_AT_ONCE: usize = 64;

#[async_trait]
impl LockAdmin for ConsulBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError> {
        let place = Place::of(&self.shared.prefix, key);
        let lock = self.shared.api.read(Operation::Inspect, &place.lock).await.map_err(|e| e.with_key(key))?;
        if lock.as_ref().is_some_and(|lock| lock.flags != LOCK_FLAGS) {
            return Err(conflict(&place, Operation::Inspect).with_key(key));
        }
        let held = lock.filter(|lock| lock.session().is_some());
        Ok(held.map(|lock| Record::read(&lock).describe(key, &lock, true)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        self.shared.list(prefix).await
    }

    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError> {
        self.shared.kept.forget(key);
        self.shared.break_lock(key, if_token).await.map_err(|error| error.with_key(key))
    }

    async fn preflight(&self) -> Vec<Finding> {
        crate::preflight::run(&self.shared).await
    }
}

/// Reading needs no key to be there: nothing is known of why this was refused.
fn not_read(refusal: Refusal) -> BackendError {
    let message = format!("Consul refused to read the locks: {refusal:?}");
    BackendError::new(ErrorKind::Unavailable, Operation::List, message).with_advice("list them again")
}

impl Shared {
    /// The names first, then the locks alone: other programs' values may be large.
    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        let names = self.api.names(Operation::List, &self.prefix).await?;
        let locks: Vec<_> = names.iter().filter(|name| lock_name(&self.prefix, name).is_some()).collect();
        let mut records = Vec::new();
        for some in locks.chunks(READ_AT_ONCE) {
            let steps: Vec<_> = some.iter().map(|name| Step::read_all(name)).collect();
            let entries = match self.api.txn(Operation::List, &steps).await? {
                Txn::Done(entries) => entries,
                Txn::Refused(refusal) => return Err(not_read(refusal)),
            };
            for lock in entries {
                let Some(name) = lock_name(&self.prefix, &lock.key) else { continue };
                if lock.session().is_none() || lock.flags != LOCK_FLAGS {
                    continue;
                }
                let record = Record::read(&lock);
                // The record has the whole key, where a long one was cut in the name.
                let told = record.key.as_ref().and_then(|key| LockKey::new(key).ok());
                let told = told.filter(|key| Place::of(&self.prefix, key).lock == lock.key);
                let Some(key) = told.or_else(|| LockKey::decode(name)) else { continue };
                if key.as_str().starts_with(prefix) {
                    records.push(record.describe(&key, &lock, true));
                }
            }
        }
        records.sort_by(|a, b| a.key().cmp(b.key()));
        Ok(records)
    }

    /// Frees the key in one transaction that touches this very grant and no later one. The holder's session stays:
    /// a foreign one may hold other keys, and ours is used for another lock as soon as this one is released.
    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError> {
        const BREAK: Operation = Operation::Break;
        let place = Place::of(&self.prefix, key);
        for _ in 0..ROUNDS {
            let tree = Tree::of(&place, self.api.list(BREAK, &place.directory).await?.entries);
            if tree.is_foreign() {
                return Err(conflict(&place, BREAK));
            }
            let Some((lock, session)) = tree.holder() else { return Ok(BreakOutcome::Free) };
            let record = Record::read(lock).describe(key, lock, true);
            if if_token.is_some_and(|token| token.get() != lock.modify_index) {
                return Ok(BreakOutcome::TokenDiffers(record));
            }
            let mut steps = vec![Step::unchanged(&place.lock, lock.modify_index), Step::unlock(&place.lock, session)];
            // Its successor watches the holder's place in the queue, if it has one.
            let waited = tree.live().filter(|(_, other)| *other == session).map(|(entry, _)| entry);
            steps.extend(waited.map(|entry| Step::unlock(&entry.key, session)));
            if let Txn::Done(_) = self.api.txn(BREAK, &steps).await? {
                return Ok(BreakOutcome::Broken(record));
            }
        }
        let message = format!("{} changes faster than it can be broken", place.lock);
        Err(BackendError::new(ErrorKind::Unavailable, BREAK, message)
            .with_outcome(Outcome::NotApplied)
            .with_advice("its holders come and go: there may be nothing to break; see `distlock status`"))
    }
}

//! Looking at the locks of a cluster, and taking one away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use lock_core::{BackendError, BreakOutcome, FencingToken, Finding, LockAdmin, LockKey, LockRecord, Operation, Ttl};
use tokio::task::JoinSet;

use crate::EtcdBackend;
use crate::backend::Shared;
use crate::names::lock_of;
use crate::queue::first_options;
use crate::session::{IntoError, Session};
use crate::value;

/// Keys that are asked for at once when all locks are listed.
const PAGE: i64 = 5_000;

/// Values that are asked for at once: the server takes 128 operations in a transaction.
const VALUES: usize = 100;

/// Leases that are asked for at a time.
const AT_ONCE: usize = 32;

#[async_trait]
impl LockAdmin for EtcdBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError> {
        let session = self.shared.session();
        let found = self.shared.holder(&session, Operation::Inspect, key).await;
        let Some(holder) = found.map_err(|error| error.with_key(key))? else { return Ok(None) };
        Ok(Some(self.shared.describe(&session, Operation::Inspect, key, &holder).await))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        let session = self.shared.session();
        let holders = self.shared.holders(&session, prefix).await?;
        let leases = holders.values().map(KeyValue::lease).collect();
        let lives = self.shared.lives(&session, leases).await;
        let record = |(key, holder): (&LockKey, &KeyValue)| describe(key, holder, lives.get(&holder.lease()).copied());
        Ok(holders.iter().map(record).collect())
    }

    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError> {
        let session = self.shared.session();
        self.shared.break_lock(&session, key, if_token).await.map_err(|error| error.with_key(key))
    }

    async fn preflight(&self) -> Vec<Finding> {
        crate::preflight::run(&self.shared).await
    }
}

impl Shared {
    async fn holder(
        &self,
        session: &Session,
        operation: Operation,
        key: &LockKey,
    ) -> Result<Option<KeyValue>, BackendError> {
        let queue = self.queue(key);
        let found = session
            .call(operation, |mut link| {
                let (start, options) = (queue.start(), first_options(&queue));
                async move { link.kv.get(start, Some(options)).await }
            })
            .await
            .or_error(operation)?;
        Ok(found.value.kvs().first().cloned())
    }

    /// The record, with how long the lease lives where that can be asked.
    async fn describe(&self, session: &Session, operation: Operation, key: &LockKey, holder: &KeyValue) -> LockRecord {
        let lives = self.time_to_live(session, operation, holder.lease()).await.ok().flatten();
        describe(key, holder, lives)
    }

    /// How long these leases live, each asked for once, several at a time. Of whom that can't be asked it isn't told.
    async fn lives(self: &Arc<Self>, session: &Arc<Session>, leases: BTreeSet<i64>) -> HashMap<i64, (Duration, Ttl)> {
        let mut leases = leases.into_iter();
        let (mut asking, mut lives) = (JoinSet::new(), HashMap::new());
        loop {
            for lease in leases.by_ref().take(AT_ONCE - asking.len()) {
                let (shared, session) = (self.clone(), session.clone());
                asking.spawn(async move { (lease, shared.time_to_live(&session, Operation::List, lease).await) });
            }
            match asking.join_next().await {
                Some(Ok((lease, Ok(told)))) => lives.extend(told.map(|told| (lease, told))),
                // Who has no answer to this has none to the next thousand either.
                Some(_) => leases = BTreeSet::new().into_iter(),
                None => return lives,
            }
        }
    }

    /// The first of each queue whose lock's key begins with `prefix`.
    async fn holders(&self, session: &Session, prefix: &str) -> Result<BTreeMap<LockKey, KeyValue>, BackendError> {
        let all = self.settings.prefix.clone();
        // The encoding of a beginning is the beginning of the encoding, but for "." and "..".
        let narrowed = LockKey::new(prefix).ok().filter(|key| !matches!(key.as_str(), "." | ".."));
        let start = narrowed.map_or(all.clone(), |key| format!("{all}{}", key.encoded())).into_bytes();
        let end = end_of(&start);
        let mut first: BTreeMap<LockKey, KeyValue> = BTreeMap::new();
        let mut from = if start.is_empty() { vec![0] } else { start };
        loop {
            let page = session
                .call(Operation::List, |mut link| {
                    // Without the values: among them may be much that is no lock's.
                    let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_keys_only();
                    let from = from.clone();
                    async move { link.kv.get(from, Some(options)).await }
                })
                .await
                .or_error(Operation::List)?
                .value;
            for found in page.kvs() {
                let Some(key) = lock_of(&all, found.key()) else { continue };
                if !key.as_str().starts_with(prefix) {
                    continue;
                }
                let is_first = |other: &KeyValue| found.create_revision() < other.create_revision();
                if first.get(&key).is_none_or(is_first) {
                    first.insert(key, found.clone());
                }
            }
            match page.kvs().last() {
                // The smallest key after the last one.
                Some(last) if page.more() => from = [last.key(), &[0]].concat(),
                _ => break,
            }
        }
        self.with_values(session, first).await
    }

    async fn with_values(
        &self,
        session: &Session,
        keys: BTreeMap<LockKey, KeyValue>,
    ) -> Result<BTreeMap<LockKey, KeyValue>, BackendError> {
        let mut found = BTreeMap::new();
        let keys: Vec<_> = keys.into_iter().collect();
        for batch in keys.chunks(VALUES) {
            let gets: Vec<_> = batch.iter().map(|(_, held)| TxnOp::get(held.key(), None)).collect();
            let answer = self.send(session, Operation::List, Txn::new().and_then(gets)).await;
            let answer = answer.or_error(Operation::List)?;
            for ((key, _), response) in batch.iter().zip(answer.value.op_responses()) {
                let TxnOpResponse::Get(get) = response else { continue };
                // One that has gone meanwhile is held no more.
                if let Some(held) = get.kvs().first() {
                    found.insert(key.clone(), held.clone());
                }
            }
        }
        Ok(found)
    }

    async fn break_lock(
        self: &Arc<Self>,
        session: &Session,
        key: &LockKey,
        if_token: Option<FencingToken>,
    ) -> Result<BreakOutcome, BackendError> {
        const OPERATION: Operation = Operation::Break;
        loop {
            let Some(holder) = self.holder(session, OPERATION, key).await? else { return Ok(BreakOutcome::Free) };
            let record = self.describe(session, OPERATION, key, &holder).await;
            if if_token.is_some_and(|token| record.token() != Some(token)) {
                return Ok(BreakOutcome::TokenDiffers(record));
            }
            let is_still = Compare::create_revision(holder.key(), CompareOp::Equal, holder.create_revision());
            let txn = Txn::new().when([is_still]).and_then([TxnOp::delete(holder.key(), None)]);
            if self.send(session, OPERATION, txn).await.or_error(OPERATION)?.value.succeeded() {
                // Its next keep-alive then tells it so. A lease that many locks share is not this lock's alone.
                if is_of_this_key_alone(&holder) {
                    self.revoke(session, OPERATION, holder.lease()).await.or_error(OPERATION)?;
                }
                return Ok(BreakOutcome::Broken(record));
            }
        }
    }
}

/// The record, with how long the lease lives and what TTL it was granted, where that is known.
fn describe(key: &LockKey, holder: &KeyValue, lives: Option<(Duration, Ttl)>) -> LockRecord {
    let record = value::record(key, holder);
    match (lives, record.ttl()) {
        (Some((left, _)), Some(ttl)) => record.with_lease(ttl, Some(left.min(ttl.get()))),
        (Some((left, granted)), None) => record.with_lease(granted, Some(left)),
        (None, _) => record,
    }
}

/// Whether the key bears the id of its lease, as `etcdctl lock` and a lock of ours with its own lease do.
pub(crate) fn is_of_this_key_alone(held: &KeyValue) -> bool {
    held.lease() != 0 && held.key().ends_with(format!("/{:x}", held.lease()).as_bytes())
}

/// The end of the range of all keys that begin with `start`.
fn end_of(start: &[u8]) -> Vec<u8> {
    let mut end = start.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // From here to the last key of all.
    vec![0]
}

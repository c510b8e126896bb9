//! What a place in a queue says of its owner: a line of JSON, which `etcdctl get --prefix NAME/` shows.

use std::time::{Duration, SystemTime};

use etcd_client::KeyValue;
use lock_core::{AcquireRequest, FencingToken, HolderInfo, Label, LockKey, LockRecord, OwnerId, Ttl};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    owner: String,
    host: Option<String>,
    pid: Option<u32>,
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    ttl_ms: u64,
    /// Only where the lock was free: who waits can't say when it will be granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    acquired_at: Option<String>,
}

/// Whether an owner takes a free lock or begins to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    Takes,
    Waits,
}

pub(crate) fn encode(request: &AcquireRequest, ttl: Ttl, arrival: Arrival) -> Vec<u8> {
    let holder: &HolderInfo = request.holder();
    let stored = Stored {
        owner: request.owner().to_string(),
        host: Some(holder.host().to_owned()),
        pid: Some(holder.pid()),
        program: Some(holder.program().to_owned()),
        label: holder.label().map(str::to_owned),
        ttl_ms: ttl.as_millis(),
        acquired_at: (arrival == Arrival::Takes)
            .then(|| humantime::format_rfc3339_millis(SystemTime::now()).to_string()),
    };
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// The holder as its key tells it. A key without a value of ours is an unknown holder's.
pub(crate) fn record(key: &LockKey, held: &KeyValue) -> LockRecord {
    let token = token_of(held);
    let location = String::from_utf8_lossy(held.key()).into_owned();
    let record = LockRecord::unknown(key.clone()).with_token(token).with_location(location);
    let Some(stored) = stored(held) else { return record };
    let Ok(owner) = stored.owner.parse::<OwnerId>() else { return record };
    let label = stored.label.filter(|label| label.len() <= Label::MAX_LEN);
    let mut record = record.with_grant(owner, token).with_description(stored.host, stored.pid, stored.program, label);
    if let Ok(ttl) = Ttl::new(Duration::from_millis(stored.ttl_ms)) {
        record = record.with_lease(ttl, None);
    }
    match stored.acquired_at.and_then(|at| humantime::parse_rfc3339(&at).ok()) {
        Some(at) => record.with_acquired_at(at),
        None => record,
    }
}

/// How the owner of a place came to it, where it is one of ours.
pub(crate) fn arrival(held: &KeyValue) -> Option<Arrival> {
    Some(if stored(held)?.acquired_at.is_some() { Arrival::Takes } else { Arrival::Waits })
}

/// The owner that a place belongs to, where it is one of ours.
pub(crate) fn owner_of(held: &KeyValue) -> Option<OwnerId> {
    stored(held)?.owner.parse().ok()
}

/// The token of the grant: the revision that created the key. Revisions of a cluster only rise.
pub(crate) fn token_of(held: &KeyValue) -> FencingToken {
    FencingToken::new(u64::try_from(held.create_revision()).unwrap_or_default())
}

fn stored(held: &KeyValue) -> Option<Stored> {
    serde_json::from_slice(held.value()).ok()
}

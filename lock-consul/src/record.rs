//! What a holder writes into its key, for people and for itself: `consul kv get NAME/.lock` shows it.

use std::time::{Duration, SystemTime};

use lock_core::{AcquireRequest, FencingToken, LockKey, LockRecord, OwnerId, Ttl};
use serde::{Deserialize, Serialize};

use crate::wire::Entry;

/// No part is needed to read the others: a foreign client may have written anything.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) key: Option<String>,
    owner: Option<String>,
    host: Option<String>,
    pid: Option<u32>,
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    ttl_ms: Option<u64>,
    /// By the holder's own wall clock; when it began to wait, while it waits.
    acquired_at: Option<String>,
}

impl Record {
    pub(crate) fn of(request: &AcquireRequest, ttl: Ttl) -> Self {
        let holder = request.holder();
        Self {
            key: Some(request.key().as_str().to_owned()),
            owner: Some(request.owner().to_string()),
            host: Some(holder.host().to_owned()),
            pid: Some(holder.pid()),
            program: Some(holder.program().to_owned()),
            label: holder.label().map(str::to_owned),
            ttl_ms: Some(ttl.as_millis()),
            acquired_at: Some(humantime::format_rfc3339_millis(SystemTime::now()).to_string()),
        }
    }

    /// What a key's value says; nothing when it isn't ours.
    pub(crate) fn read(entry: &Entry) -> Self {
        serde_json::from_slice(&entry.value()).unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        // A struct of texts and numbers can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn owner(&self) -> Option<OwnerId> {
        self.owner.as_deref()?.parse().ok()
    }

    /// The same for people.
    pub(crate) fn describe(self, key: &LockKey, entry: &Entry, holds: bool) -> LockRecord {
        let owner = self.owner();
        let mut record = LockRecord::unknown(key.clone())
            .with_location(format!("the key {}", entry.key))
            .with_description(self.host, self.pid, self.program, self.label);
        let token = FencingToken::new(entry.modify_index);
        record = match (holds, owner) {
            (true, Some(owner)) => record.with_grant(owner, token),
            (true, None) => record.with_token(token),
            (false, _) => record,
        };
        if let Some(at) = self.acquired_at.and_then(|at| humantime::parse_rfc3339(&at).ok()).filter(|_| holds) {
            record = record.with_acquired_at(at);
        }
        if let Some(ttl) = self.ttl_ms.and_then(|ms| Ttl::new(Duration::from_millis(ms)).ok()) {
            record = record.with_lease(ttl, None);
        }
        record
    }
}

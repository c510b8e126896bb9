//! The JSON that `status` and `list` print. Names and shapes are fixed.

use std::time::SystemTime;

use distlock::{LockRecord, Ttl};
use jiff::Timestamp;
use serde::Serialize;

/// A holder; `null` where the store doesn't know.
#[derive(Debug, Serialize)]
pub(crate) struct HolderJson<'a> {
    key: &'a str,
    token: Option<u64>,
    owner: Option<String>,
    host: Option<&'a str>,
    pid: Option<u32>,
    program: Option<&'a str>,
    label: Option<&'a str>,
    acquired_at: Option<String>,
    ttl_ms: Option<u64>,
    expires_in_ms: Option<u64>,
}

impl<'a> From<&'a LockRecord> for HolderJson<'a> {
    fn from(record: &'a LockRecord) -> Self {
        Self {
            key: record.key().as_str(),
            token: record.token().map(u64::from),
            owner: record.owner().map(|owner| owner.to_string()),
            host: record.host(),
            pid: record.pid(),
            program: record.program(),
            label: record.label(),
            acquired_at: record.acquired_at().and_then(rfc3339),
            ttl_ms: record.ttl().map(Ttl::as_millis),
            expires_in_ms: record.expires_in().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

fn rfc3339(at: SystemTime) -> Option<String> {
    Timestamp::try_from(at).ok().map(|at| at.to_string())
}

//! What reads foreign input, for the fuzz targets of this project; no part of the API.

use lock_core::{LockKey, LockRecord};

use crate::record;

/// What is told of a lock whose key has this value, and whether a client of ours wrote it.
pub fn value(key: &LockKey, value: &[u8], left_ms: i64) -> (LockRecord, bool) {
    (record::describe(key, "the key", value, left_ms), record::is_ours(value))
}

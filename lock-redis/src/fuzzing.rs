//! What reads foreign input, for the fuzz targets of this project, and what its benchmarks compare with; no part of the
//! API.

use lock_core::{LockKey, LockRecord};

use crate::record;
use crate::scripts::Scripts;

/// What is told of a lock whose key has this value, and whether a client of ours wrote it.
pub fn value(key: &LockKey, value: &[u8], left_ms: i64) -> (LockRecord, bool) {
    (record::describe(key, "the key", value, left_ms), record::is_ours(value))
}

/// The texts of the scripts that acquire and release, as a server is sent them.
pub fn scripts() -> (String, String) {
    let scripts = Scripts::new("PUBLISH");
    (scripts.acquire.text().to_owned(), scripts.release.text().to_owned())
}

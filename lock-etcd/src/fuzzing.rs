//! What reads foreign input, for the fuzz targets of this project; no part of the API.

use etcd_client::KeyValue;
use etcd_client::proto::PbKeyValue;
use lock_core::{LockKey, LockRecord, OwnerId};

use crate::value;

/// What is told of a lock whose first key has this value, and whose place it is.
pub fn value(key: &LockKey, bytes: &[u8], create_revision: i64) -> (LockRecord, Option<OwnerId>) {
    let found = PbKeyValue { value: bytes.to_vec(), create_revision, ..PbKeyValue::default() };
    let found = KeyValue(found);
    (value::record(key, &found), value::owner_of(&found))
}

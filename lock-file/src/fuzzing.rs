//! What reads foreign input, for the fuzz targets of this project; no part of the API.

use lock_core::LockKey;

use crate::record::{HEADER_LEN, Record, State, salvage_token};
use crate::{name, slot};

/// A record as it was read: what it says, and its bytes as this crate writes them.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// Whether it says that the lock is held.
    pub held: bool,
    /// The time that goes with that.
    pub time: u64,
    /// The token.
    pub token: u64,
    /// The same record, written anew.
    pub bytes: Vec<u8>,
}

/// Reads a record, as whoever looks at a lock does.
pub fn record(bytes: &[u8]) -> Option<Read> {
    let record = Record::parse(bytes)?;
    let (held, time) = match record.state {
        State::Held(deadline) => (true, deadline),
        State::Released(at) => (false, at),
    };
    let (written, _) = record.body.encode(record.state).ok()?;
    Some(Read { held, time, token: record.body.token, bytes: written })
}

/// How many bytes a record has whose first ones are these.
pub fn record_length(bytes: &[u8]) -> Option<usize> {
    Record::length(bytes)
}

/// The token of a damaged record.
pub fn token_of_damaged(bytes: &[u8]) -> Option<u64> {
    salvage_token(bytes)
}

/// The bytes of a record's first line.
pub const FIRST_LINE: usize = HEADER_LEN;

/// A lock's directory, on a file system that tells case apart or doesn't.
pub fn directory_name(key: &LockKey, folds_case: bool) -> String {
    name::directory_name(key, folds_case)
}

/// The key of a directory's name.
pub fn key_of(name: &str, folds_case: bool) -> Option<LockKey> {
    name::key_of(name, folds_case)
}

/// The number in a generation's name.
pub fn generation(name: &str) -> Option<u64> {
    slot::number_of(name)
}

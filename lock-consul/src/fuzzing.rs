//! What reads foreign input, for the fuzz targets of this project; no part of the API.

use lock_core::{Contention, LockKey};

use crate::name::Place;
use crate::tree::Tree;
use crate::wire::{Entry, TxnReply};

/// The flags of a lock's key.
pub const LOCK_FLAGS: u64 = crate::wire::LOCK_FLAGS;

/// What is told of a lock whose key has this value, these flags, and perhaps a session that holds it; `None` where the
/// key belongs to somebody else.
pub fn value(key: &LockKey, value: &[u8], flags: u64, held: bool) -> Option<Contention> {
    let place = Place::of("", key);
    let entry = Entry::found(&place.lock, value, flags, held.then_some("a session"));
    tell(key, &Tree::of(&place, vec![entry]))
}

/// The same, of an agent's answer to a look at the lock's keys. And any answer to a transaction can be read.
pub fn answer(key: &LockKey, json: &[u8]) -> Option<Contention> {
    if let Ok(TxnReply { errors: Some(errors), .. }) = serde_json::from_slice(json) {
        errors.iter().filter_map(|error| crate::refusal::refusal(&error.what)).for_each(|_| ());
    }
    let entries: Vec<Entry> = serde_json::from_slice(json).ok()?;
    tell(key, &Tree::of(&Place::of("", key), entries))
}

fn tell(key: &LockKey, tree: &Tree) -> Option<Contention> {
    (!tree.is_foreign()).then(|| tree.contention(key))
}

//! A naive queue in front of the store: what some faults need, because the memory store's own queue heals itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use lock_core::{Claim, LockKey, OwnerId};

/// Owners in line for each key; they leave it only when they are told to.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<LockKey, VecDeque<OwnerId>>>>);

impl Places {
    pub(crate) fn join_last(&self, claim: &Claim) {
        self.line(claim.key(), |line| {
            if !line.contains(&claim.owner()) {
                line.push_back(claim.owner());
            }
        });
    }

    pub(crate) fn join_first(&self, claim: &Claim) {
        self.line(claim.key(), |line| {
            if !line.contains(&claim.owner()) {
                line.push_front(claim.owner());
            }
        });
    }

    pub(crate) fn leave(&self, claim: &Claim) {
        self.line(claim.key(), |line| line.retain(|owner| *owner != claim.owner()));
    }

    /// Whether nobody else is first.
    pub(crate) fn may_try(&self, claim: &Claim) -> bool {
        self.line(claim.key(), |line| line.front().is_none_or(|first| *first == claim.owner()))
    }

    fn line<T>(&self, key: &LockKey, change: impl FnOnce(&mut VecDeque<OwnerId>) -> T) -> T {
        change(self.0.lock().unwrap().entry(key.clone()).or_default())
    }
}

/// A place that is given up with the `wait` that took it, unless that ended well.
pub(crate) struct Leaving<'a>(pub(crate) &'a Places, pub(crate) Claim);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave(&self.1);
    }
}

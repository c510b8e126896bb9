//! What the locks of a trial protect: counters behind a gate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::simulation::history::{History, What};
use crate::{FencingGate, FencingToken, OwnerId};

#[derive(Clone, Default)]
pub(super) struct Resources(Arc<Mutex<BTreeMap<&'static str, Resource>>>);

#[derive(Default)]
struct Resource {
    gate: FencingGate,
    value: u64,
}

impl Resources {
    /// The counter, for who may pass the gate. Whoever reads closes it for all before.
    pub(super) fn read(&self, key: &'static str, token: FencingToken, owner: OwnerId) -> Option<u64> {
        self.with(key, |resource| resource.gate.admit(token, owner).is_ok().then_some(resource.value))
    }

    pub(super) fn write(&self, key: &'static str, token: FencingToken, owner: OwnerId, value: u64, history: &History) {
        let accepted = self.with(key, |resource| {
            let accepted = resource.gate.admit(token, owner).is_ok();
            if accepted {
                resource.value = value;
            }
            accepted
        });
        history.add_now(What::Write { key: key.to_owned(), token: token.get(), value, accepted });
    }

    fn with<T>(&self, key: &'static str, change: impl FnOnce(&mut Resource) -> T) -> T {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }
}

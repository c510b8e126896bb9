//! What each owner of this process has here: a lock, a place in a queue, or nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::Claim;

use crate::held::HeldFile;
use crate::queue::Ticket;

/// What an owner has.
#[derive(Debug, Default)]
pub(crate) enum Mine {
    #[default]
    Nothing,
    Waiting(Ticket),
    Held(HeldFile),
    /// This entry was taken out of the map; whoever still has it looks there again.
    Gone,
}

impl Mine {
    /// It is the parent's, from which this process was forked: not to be touched.
    fn is_inherited(&self) -> bool {
        match self {
            Self::Waiting(ticket) => !ticket.file.is_ours(),
            Self::Held(held) => !held.file.is_ours(),
            Self::Nothing | Self::Gone => false,
        }
    }
}

/// The owners of this process, each behind its own mutex: a slow disk under one lock doesn't
/// hold up the others.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<HashMap<Claim, Arc<Mutex<Mine>>>>);

impl Owners {
    /// Runs `f` on what `claim`'s owner has, alone. Nothing is kept of an owner with nothing.
    pub(crate) fn with<T>(&self, claim: &Claim, f: impl FnOnce(&mut Mine) -> T) -> T {
        loop {
            let entry = lock(&self.0).entry(claim.clone()).or_default().clone();
            let mut mine = lock(&entry);
            if matches!(*mine, Mine::Gone) {
                continue;
            }
            if mine.is_inherited() {
                *mine = Mine::Nothing;
            }
            let answer = f(&mut mine);
            if matches!(*mine, Mine::Nothing) {
                *mine = Mine::Gone;
                lock(&self.0).remove(claim);
            }
            return answer;
        }
    }
}

/// A panic elsewhere leaves these values whole: each is changed by one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

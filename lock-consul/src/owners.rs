//! What each owner of this process has at Consul.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lock_core::{Claim, FencingToken, Ttl};
use tokio::sync::OwnedMutexGuard;

use crate::session::Session;
use crate::watched::Watch;

/// Everything that one owner may have there for one key. Noted before a request is sent, so that a call that is
/// dropped leaves behind what has to be undone.
#[derive(Debug, Default)]
pub(crate) struct Mine {
    pub(crate) session: Option<Session>,
    /// It stands in the queue.
    pub(crate) waits: bool,
    pub(crate) held: Option<Held>,
    /// What the wait learned, so that the next try needs no look.
    pub(crate) turn: Option<Turn>,
    /// How often in a row the lock was free and kept shut.
    pub(crate) delays: u32,
    /// Hears of a loss between two renewals.
    pub(crate) watch: Option<Watch>,
}

/// A lock that was granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) token: FencingToken,
    pub(crate) ttl: Ttl,
}

/// The state in which the lock was seen free, and nobody before us.
#[derive(Debug)]
pub(crate) struct Turn {
    /// The index of the lock's key; `None`: there is no such key.
    pub(crate) index: Option<u64>,
    /// Places that nobody stands in, and the index at which that was so.
    pub(crate) litter: Vec<(String, u64)>,
    /// The key says that somebody held it and did not release it.
    pub(crate) abandoned: bool,
}

impl Mine {
    /// A request may still be on its way.
    pub(crate) fn in_doubt(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.in_doubt)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.session.is_none() && !self.waits && self.held.is_none()
    }

    pub(crate) fn holds_with(&self, session: &str) -> bool {
        self.session.as_ref().is_some_and(|mine| mine.id == session)
    }
}

pub(crate) type Slot = Arc<tokio::sync::Mutex<Mine>>;

/// By claim. Calls of one owner wait for each other; those of others never do.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<HashMap<Claim, Slot>>);

impl Owners {
    /// What the owner has, for one call alone; kept until [`forget`](Self::forget).
    pub(crate) async fn locked(&self, claim: &Claim) -> (Slot, OwnedMutexGuard<Mine>) {
        loop {
            let slot = self.slot(claim);
            let mine = slot.clone().lock_owned().await;
            // The call before this one may have found that there is nothing, and forgotten the slot.
            if self.known(claim).is_some_and(|known| Arc::ptr_eq(&known, &slot)) {
                return (slot, mine);
            }
        }
    }

    /// What the owner has, kept until [`forget`](Self::forget).
    pub(crate) fn slot(&self, claim: &Claim) -> Slot {
        self.lock().entry(claim.clone()).or_default().clone()
    }

    /// What the owner has, if anything is known of it.
    pub(crate) fn known(&self, claim: &Claim) -> Option<Slot> {
        self.lock().get(claim).cloned()
    }

    /// The owner has nothing more.
    pub(crate) fn forget(&self, claim: &Claim) {
        self.lock().remove(claim);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Claim, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What each owner of this process has at Consul.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::{AcquireRequest, Claim, FencingToken, Ttl};
use tokio::sync::OwnedMutexGuard;

use crate::name::Place;
use crate::record::Record;
use crate::session::{LONGEST_IN_QUEUE, Session};
use crate::tree::Tree;
use crate::watched::Watch;

/// Everything that one owner may have there for one key. Noted before a request is sent, so that a call that is
/// dropped leaves behind what has to be undone.
#[derive(Debug, Default)]
pub(crate) struct Mine {
    /// What the lock is held by; what the place is held by, too, unless it has a session of its own.
    pub(crate) session: Option<Session>,
    /// What the place in the queue is held by, where the lease is long.
    pub(crate) place: Option<Session>,
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
        self.sessions().any(|session| session.in_doubt)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.sessions().next().is_none() && !self.waits && self.held.is_none()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.session.iter().chain(&self.place)
    }

    /// Where the session is that its place is held by, or will be.
    pub(crate) fn for_place(&mut self, lease: Duration) -> &mut Option<Session> {
        if lease > LONGEST_IN_QUEUE { &mut self.place } else { &mut self.session }
    }

    /// What its place is held by, as far as is known.
    pub(crate) fn of_place(&mut self) -> Option<&mut Session> {
        self.place.as_mut().or(self.session.as_mut())
    }

    /// That session has ended, and the place is nobody's.
    pub(crate) fn place_is_lost(&mut self) {
        if self.place.take().is_none() {
            self.session = None;
        }
        (self.waits, self.turn) = (false, None);
    }

    /// The lock's session has ended.
    pub(crate) fn session_is_lost(&mut self) {
        self.session = None;
        self.waits &= self.place.is_some();
    }

    /// Whether the owner stands in the queue, and which sessions are its own: after a lost reply, and for a backend
    /// that was made after the owner's first.
    pub(crate) fn find_in(&mut self, place: &Place, request: &AcquireRequest, tree: &Tree) {
        let (contender, lease) = (place.contender(request.owner()), request.ttl().get());
        let stands = tree.contender(&contender).and_then(|entry| entry.session());
        if self.session.is_none() {
            let holds = tree.holder().filter(|(lock, _)| Record::read(lock).owner() == Some(request.owner()));
            self.session = holds.map(|(_, session)| Session::found(session, lease));
        }
        if let Some(session) = stands {
            self.for_place(lease).get_or_insert_with(|| Session::found(session, lease.min(LONGEST_IN_QUEUE)));
        }
        self.waits = stands.is_some_and(|session| self.stands_with(session));
    }

    /// Whether its place in the queue is held by this session.
    pub(crate) fn stands_with(&self, session: &str) -> bool {
        self.sessions().any(|mine| mine.id == session)
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

//! Leases that many locks share: for a process that holds thousands of them.
//!
//! A lease of its own costs the server a keep-alive for each lock and each third of its TTL. Here up to 500 locks hang
//! on one lease, which lives for one and a half of their TTL and is kept alive when one of them is renewed. A lock of
//! the group that isn't renewed is deleted by this process when its TTL is over, and before the lease is extended past
//! that: so what is promised less is this alone. Should the whole process end just then, the lock lives as long as the
//! lease does: up to one and a half TTL.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Claim, OwnerId, Timestamp, Ttl};

use crate::backend::now;

/// How many locks share one lease: when it is lost, so are they all.
const AT_MOST: usize = 500;

/// The groups of this process, by the TTL of their locks in seconds.
#[derive(Default)]
pub(crate) struct Groups(Mutex<HashMap<u64, Vec<Arc<Group>>>>);

pub(crate) struct Group {
    pub(crate) lease: i64,
    /// The TTL of the locks.
    pub(crate) ttl: Duration,
    /// How long the lease lives after it was kept alive.
    lives: Duration,
    /// The lease is gone, and all that hung on it.
    over: AtomicBool,
    members: Mutex<Members>,
    /// One at a time extends the lease or deletes what is overdue.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

struct Members {
    /// When each lock's TTL is over.
    deadlines: HashMap<OwnerId, (Claim, Timestamp)>,
    /// No member is overdue before this.
    none_before: Timestamp,
    /// Before the request was sent that kept the lease alive last.
    kept_alive: Timestamp,
}

impl Groups {
    pub(crate) fn with_room(&self, claim: &Claim, ttl: Ttl) -> Option<Arc<Group>> {
        let groups = self.lock();
        let group = groups.get(&ttl.get().as_secs())?.iter().find(|group| !group.is_over() && group.has_room())?;
        group.enter(claim);
        Some(group.clone())
    }

    pub(crate) fn add(&self, group: &Arc<Group>) {
        self.lock().entry(group.ttl.as_secs()).or_default().push(group.clone());
    }

    pub(crate) fn forget(&self, group: &Arc<Group>) {
        let mut groups = self.lock();
        if let Some(same) = groups.get_mut(&group.ttl.as_secs()) {
            same.retain(|other| !Arc::ptr_eq(other, group));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Arc<Group>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    pub(crate) fn new(lease: i64, ttl: Duration, lives: Duration, kept_alive: Timestamp) -> Self {
        let members = Members { deadlines: HashMap::new(), none_before: kept_alive + ttl, kept_alive };
        Self {
            lease,
            ttl,
            lives,
            over: AtomicBool::new(false),
            members: Mutex::new(members),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The lease turned out to be gone.
    pub(crate) fn is_gone(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn has_room(&self) -> bool {
        self.lock().deadlines.len() < AT_MOST
    }

    pub(crate) fn enter(&self, claim: &Claim) {
        let deadline = now() + self.ttl;
        self.lock().deadlines.insert(claim.owner(), (claim.clone(), deadline));
    }

    pub(crate) fn leave(&self, owner: OwnerId) {
        self.lock().deadlines.remove(&owner);
    }

    /// A lock was renewed, by a request sent then. `false` when it isn't a member any more.
    pub(crate) fn renewed(&self, owner: OwnerId, sent: Timestamp) -> bool {
        let mut members = self.lock();
        let Some((_, deadline)) = members.deadlines.get_mut(&owner) else { return false };
        *deadline = sent + self.ttl;
        true
    }

    /// By a request sent then.
    pub(crate) fn was_kept_alive(&self, sent: Timestamp) {
        self.lock().kept_alive = sent;
    }

    /// Whether the lease lives for a whole TTL from `now`, and no member is overdue.
    pub(crate) fn lives_on(&self, now: Timestamp) -> bool {
        let members = self.lock();
        members.kept_alive + self.lives >= now + self.ttl && now < members.none_before
    }

    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<Claim> {
        let mut members = self.lock();
        let overdue: Vec<Claim> =
            members.deadlines.values().filter(|(_, at)| *at <= now).map(|(claim, _)| claim.clone()).collect();
        if overdue.is_empty() {
            // Deadlines only move on, and whoever enters has a whole TTL.
            members.none_before = members.deadlines.values().map(|(_, at)| *at).min().unwrap_or(now + self.ttl);
        }
        overdue
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_is_extended_when_it_would_not_last_for_a_ttl_or_a_member_is_overdue() {
        let began = now();
        let seconds = Duration::from_secs;
        let group = Group::new(1, seconds(10), seconds(15), began);
        assert!(group.lives_on(began + seconds(4)));
        assert!(!group.lives_on(began + seconds(6)), "it lives for nine seconds more");
        let claim = Claim::new(lock_core::LockKey::new("x").unwrap(), OwnerId::mint());
        group.enter(&claim);
        group.lock().kept_alive = began + seconds(10);
        assert!(!group.lives_on(began + seconds(11)), "nobody has looked for overdue members");
        assert_eq!(group.overdue(began + seconds(11)), std::slice::from_ref(&claim));
        assert!(group.renewed(claim.owner(), began + seconds(9)));
        assert!(group.overdue(began + seconds(11)).is_empty());
        assert!(group.lives_on(began + seconds(11)));
        group.leave(claim.owner());
        assert!(!group.renewed(claim.owner(), began));
    }
}

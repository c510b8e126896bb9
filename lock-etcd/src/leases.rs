//! Leases granted ahead: a grant is a write of its own, and one that an earlier lock of this process is done with
//! serves the next as well.
//!
//! A lease is given back only when every request that named it was answered. So nothing of its earlier owner can still
//! arrive and be applied to a lease that now serves another. One of which that isn't known is revoked instead: then the
//! late request finds no lease, and is refused.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{OwnerId, Timestamp, Ttl};

use crate::backend::now;
use crate::granting::Choice;
use crate::names::lease_of;

/// How many leases without a lock wait for the next one. They aren't kept alive: each ends when its TTL is over.
const AT_MOST: usize = 64;

/// One that ends sooner than this isn't worth a try.
const TOO_OLD: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct Leases(Mutex<All>);

#[derive(Default)]
struct All {
    spare: Vec<Spare>,
    /// Those of this process, in use or spare.
    ours: HashSet<i64>,
}

/// A lease of this process on which no key hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spare {
    pub(crate) id: i64,
    /// The TTL that it was asked for with.
    pub(crate) ttl: Ttl,
    /// Before the request was sent that kept it alive last.
    pub(crate) kept_alive: Timestamp,
}

impl All {
    /// Where the one with this TTL is that was kept alive last, of those that live on for a while.
    fn youngest(&mut self, ttl: Ttl) -> Option<usize> {
        let (Self { spare, ours }, now) = (self, now());
        spare.retain(|lease| {
            let lives = lease.kept_alive + lease.ttl.get() > now + TOO_OLD;
            if !lives {
                ours.remove(&lease.id);
            }
            lives
        });
        let with_this_ttl = spare.iter().enumerate().filter(|(_, lease)| lease.ttl == ttl);
        with_this_ttl.max_by_key(|(_, lease)| lease.kept_alive).map(|(at, _)| at)
    }
}

impl Leases {
    /// A spare lease, or the id of one to be granted. Without an owner it is one that follows from nobody.
    pub(crate) fn choose(&self, owner: Option<OwnerId>, ttl: Ttl) -> Choice {
        self.take_spare(ttl).map_or_else(|| Choice::New(self.id_for(owner)), Choice::Spare)
    }

    /// A spare lease with this TTL.
    fn take_spare(&self, ttl: Ttl) -> Option<Spare> {
        let mut all = self.lock();
        let youngest = all.youngest(ttl)?;
        Some(all.spare.swap_remove(youngest))
    }

    pub(crate) fn has_spare(&self, ttl: Ttl) -> bool {
        self.lock().youngest(ttl).is_some()
    }

    /// The id of a lease to be granted for this owner: it follows from the owner, so that a grant can be repeated. Not
    /// where that lease was granted before and serves another by now.
    fn id_for(&self, owner: Option<OwnerId>) -> i64 {
        let mut all = self.lock();
        let mut id = owner.map_or_else(|| fastrand::i64(1..=i64::MAX), lease_of);
        while !all.ours.insert(id) {
            id = fastrand::i64(1..=i64::MAX);
        }
        id
    }

    /// No key hangs on it any more, and no request that names it is unanswered. `false` when there are enough: then it
    /// is to be revoked.
    pub(crate) fn give_back(&self, lease: Spare) -> bool {
        let mut all = self.lock();
        if all.spare.len() >= AT_MOST {
            all.ours.remove(&lease.id);
            return false;
        }
        all.spare.push(lease);
        true
    }

    /// It is revoked, or over.
    pub(crate) fn forget(&self, id: i64) {
        self.lock().ours.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl(seconds: u64) -> Ttl {
        Ttl::new(Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn spare_leases_serve_the_same_ttl_while_they_live() {
        let leases = Leases::default();
        let now = now();
        let spare = Spare { id: 1, ttl: ttl(10), kept_alive: now };
        assert!(leases.give_back(spare));
        assert_eq!(leases.take_spare(ttl(11)), None);
        assert_eq!(leases.take_spare(ttl(10)), Some(spare));
        assert_eq!(leases.take_spare(ttl(10)), None);
        let old = Timestamp::ZERO;
        assert!(leases.give_back(Spare { id: 2, ttl: ttl(10), kept_alive: old }));
        assert!(!leases.has_spare(ttl(10)), "it is over, or nearly so");
        assert_eq!(leases.take_spare(ttl(10)), None);
    }

    #[test]
    fn the_youngest_serves_first() {
        let (leases, now) = (Leases::default(), now());
        for (id, older) in [(1, 2), (2, 0), (3, 1)] {
            let kept_alive = Timestamp::new(now.since(Timestamp::ZERO).saturating_sub(Duration::from_secs(older)));
            assert!(leases.give_back(Spare { id, ttl: ttl(10), kept_alive }));
        }
        let order = [(); 3].map(|()| leases.take_spare(ttl(10)).map(|spare| spare.id));
        assert_eq!(order, [Some(2), Some(3), Some(1)]);
    }

    #[test]
    fn no_more_are_kept_than_are_of_use() {
        let leases = Leases::default();
        let spare = |id| Spare { id, ttl: ttl(10), kept_alive: now() };
        assert!((0..64).all(|id| leases.give_back(spare(id))));
        assert!(!leases.give_back(spare(64)));
    }

    /// A released owner that asks again must not meet the lease that now serves another.
    #[test]
    fn lease_that_serves_another_is_granted_to_nobody_else() {
        let (leases, owner) = (Leases::default(), OwnerId::mint());
        let first = leases.id_for(Some(owner));
        assert_eq!(first, lease_of(owner));
        assert_ne!(leases.id_for(Some(owner)), first);
        leases.forget(first);
        assert_eq!(leases.id_for(Some(owner)), first);
    }
}

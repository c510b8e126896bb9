//! What an owner's key hangs on: one lease, however many of its tries run at once.

use std::sync::Arc;

use lock_core::{AcquireRequest, OwnerId, Ttl};

use crate::group::Group;
use crate::leases::Spare;
use crate::life::Life;
use crate::owners::{Owners, entry};

/// The one thing that an owner's key hangs on, or will. Never two at once: whoever keeps the key alive would have to guess
/// which of them it is.
#[derive(Clone, Default)]
pub(crate) enum HangsOn {
    #[default]
    Nothing,
    /// A lease of its own.
    Own(i64),
    /// One that is being granted: until then there is none at the store.
    Granting(i64),
    /// A lease that it shares with others.
    Shared(Arc<Group>),
}

impl HangsOn {
    pub(crate) fn own(&self) -> Option<i64> {
        match self {
            Self::Own(lease) | Self::Granting(lease) => Some(*lease),
            Self::Nothing | Self::Shared(_) => None,
        }
    }

    pub(crate) fn group(&self) -> Option<&Arc<Group>> {
        if let Self::Shared(group) = self { Some(group) } else { None }
    }

    /// Leaves nothing of what `is_it` says yes to.
    pub(crate) fn take_if(&mut self, is_it: impl FnOnce(&Self) -> bool) -> Self {
        if is_it(self) { std::mem::take(self) } else { Self::Nothing }
    }
}

/// A lease for an owner that has none.
pub(crate) enum Choice {
    Spare(Spare),
    /// To be granted.
    New(i64),
}

/// The lease for an owner's key.
pub(crate) enum OwnLease<'a> {
    /// Granted before, and how long it lives by what was asked for it last.
    There(i64, Life),
    ToGrant(i64, Granting<'a>),
}

/// A grant under way. When it is dropped, the owner's other tries go on.
#[must_use]
pub(crate) struct Granting<'a> {
    owners: &'a Owners,
    owner: OwnerId,
    lease: i64,
}

impl Drop for Granting<'_> {
    fn drop(&mut self) {
        // Not if the owner was forgotten meanwhile, and another lease is being granted for it.
        self.owners.with(self.owner, |known| {
            if matches!(known.hangs_on, HangsOn::Granting(lease) if lease == self.lease) {
                known.hangs_on = HangsOn::Own(self.lease);
            }
        });
        self.owners.granted.notify_waiters();
    }
}

impl Owners {
    /// The lease that the owner has, or what `choose` says. Of several tries of one owner at once, one has a lease granted for
    /// all: with two, each would take the other's key for somebody else's.
    pub(crate) async fn lease(&self, request: &AcquireRequest, ttl: Ttl, choose: impl Fn() -> Choice) -> OwnLease<'_> {
        loop {
            let granted = self.granted.notified();
            {
                let mut owners = self.lock();
                let known = entry(&mut owners, request, ttl);
                match known.hangs_on {
                    HangsOn::Own(lease) => return OwnLease::There(lease, known.life()),
                    HangsOn::Granting(_) => {}
                    HangsOn::Nothing | HangsOn::Shared(_) => match choose() {
                        Choice::Spare(lease) => {
                            (known.hangs_on, known.ttl) = (HangsOn::Own(lease.id), ttl);
                            known.kept_alive = lease.kept_alive;
                            return OwnLease::There(lease.id, known.life());
                        }
                        Choice::New(lease) => {
                            (known.hangs_on, known.ttl) = (HangsOn::Granting(lease), ttl);
                            return OwnLease::ToGrant(lease, Granting { owners: self, owner: request.owner(), lease });
                        }
                    },
                }
            }
            granted.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lock_core::LockKey;

    use super::*;

    #[tokio::test]
    async fn tries_of_one_owner_at_once_have_one_lease() {
        let owners = Owners::default();
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        let request = AcquireRequest::new(LockKey::new("x").unwrap(), ttl);
        let OwnLease::ToGrant(1, granting) = owners.lease(&request, ttl, || Choice::New(1)).await else {
            panic!("no lease to grant");
        };
        let another = owners.lease(&request, ttl, || Choice::New(2));
        tokio::pin!(another);
        assert!(tokio::time::timeout(Duration::from_millis(10), &mut another).await.is_err());
        drop(granting);
        let OwnLease::There(1, life) = another.await else { panic!("another lease") };
        // The answer to its grant was lost: it may be from long ago.
        assert!(!life.is_young());
    }

    /// The owner was released, and asks again, while its first grant is under way.
    #[tokio::test]
    async fn grant_that_comes_late_ends_no_other() {
        let owners = Owners::default();
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        let request = AcquireRequest::new(LockKey::new("x").unwrap(), ttl);
        let OwnLease::ToGrant(1, first) = owners.lease(&request, ttl, || Choice::New(1)).await else {
            panic!("no lease to grant");
        };
        drop(owners.remove(request.owner()));
        let second = owners.lease(&request, ttl, || Choice::New(2)).await;
        drop(first);
        let third = owners.lease(&request, ttl, || Choice::New(3));
        assert!(tokio::time::timeout(Duration::from_millis(10), third).await.is_err(), "the second is still under way");
        drop(second);
    }
}

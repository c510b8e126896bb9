//! What this process knows of its owners: who waits, who holds, and whose requests are still unanswered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{AcquireRequest, LossHint, OwnerId, Timestamp, Ttl};
use tokio::sync::Notify;

use crate::backend::now;
use crate::group::Group;
use crate::watch::{Deletion, Watching};

/// The owners that may have something at the store. All of it could be asked of the store; knowing it saves requests,
/// and where it isn't known, the store is asked.
#[derive(Default)]
pub(crate) struct Owners {
    known: Mutex<HashMap<OwnerId, Owner>>,
    /// Told when an owner's lease is granted, or its grant given up.
    granted: Notify,
}

pub(crate) struct Owner {
    pub(crate) state: State,
    pub(crate) ttl: Ttl,
    /// When the lease was last kept alive: before the request was sent.
    pub(crate) kept_alive: Timestamp,
    /// Requests that could still be applied. Whoever gives up must make sure that they aren't.
    pub(crate) unanswered: u32,
    pub(crate) hint: LossHint,
    pub(crate) watch: Watch,
    pub(crate) ahead: Ahead,
    /// The lease that is its own.
    pub(crate) lease: Option<i64>,
    /// That lease is being granted: until then there is none at the store.
    granting: bool,
    /// The lease that it shares with others.
    pub(crate) group: Option<Arc<Group>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Requests were sent. What became of them isn't known yet.
    Asking,
    /// In the queue, since this revision.
    Waiting(i64),
    /// Granted, with this revision as token.
    Holding(i64),
}

/// What a waiter knows of the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Ahead {
    #[default]
    Unknown,
    /// Its key, when the place was taken.
    Key(Vec<u8>),
    /// It is gone, as a watch told.
    Gone(Deletion),
}

/// What watches the key of a holder.
#[derive(Default)]
pub(crate) enum Watch {
    #[default]
    None,
    /// Asked for, and not in place yet.
    Begun(Watching),
    /// In place, and the key was read after that.
    Live(#[expect(dead_code, reason = "dropping it ends the watch")] Watching),
    /// It told that the key is gone.
    Deleted,
}

impl Owner {
    /// The deletion that ended its wait, while one member's word is good enough for a grant (DESIGN.md, "One member's
    /// word"): not when the lease may be over. Its keep-alives come every third of a TTL; after half of one, this process
    /// stood still.
    pub(crate) fn take_gone(&mut self) -> Option<Deletion> {
        let Ahead::Gone(deletion) = std::mem::take(&mut self.ahead) else { return None };
        (now().since(self.kept_alive) < self.ttl.get() / 2).then_some(deletion)
    }
}

impl Owners {
    pub(crate) fn state(&self, owner: OwnerId) -> Option<State> {
        self.lock().get(&owner).map(|known| known.state)
    }

    /// Looks at what is known of an owner, or changes it.
    pub(crate) fn with<T>(&self, owner: OwnerId, look: impl FnOnce(&mut Owner) -> T) -> Option<T> {
        self.lock().get_mut(&owner).map(look)
    }

    pub(crate) fn remove(&self, owner: OwnerId) -> Option<Owner> {
        self.lock().remove(&owner)
    }

    pub(crate) fn put_back(&self, owner: OwnerId, known: Owner) {
        self.lock().insert(owner, known);
    }

    /// Forgets an owner of whom nothing is left at the store, unless requests of its may still be applied.
    pub(crate) fn forget(&self, owner: OwnerId) {
        let mut owners = self.lock();
        match owners.get_mut(&owner) {
            Some(known) if known.unanswered > 0 => known.state = State::Asking,
            _ => drop(owners.remove(&owner)),
        }
    }

    /// Notes that something is being sent that could be applied late. Counts as unanswered unless it is told otherwise.
    pub(crate) fn sending<'a>(&'a self, request: &AcquireRequest, ttl: Ttl) -> Sending<'a> {
        entry(&mut self.lock(), request, ttl).unanswered += 1;
        Sending { owners: self, owner: request.owner() }
    }

    /// The lease that the owner has, or what `choose` says. Of several tries of one owner at once, one has a lease granted for
    /// all: with two, each would take the other's key for somebody else's.
    pub(crate) async fn lease(&self, request: &AcquireRequest, ttl: Ttl, choose: impl Fn() -> Choice) -> OwnLease<'_> {
        loop {
            let granted = self.granted.notified();
            {
                let mut owners = self.lock();
                let known = entry(&mut owners, request, ttl);
                match known.lease {
                    Some(lease) if !known.granting => return OwnLease::There(lease),
                    Some(_) => {}
                    None => match choose() {
                        Choice::Spare(lease) => {
                            known.lease = Some(lease);
                            return OwnLease::There(lease);
                        }
                        Choice::New(lease) => {
                            (known.lease, known.granting) = (Some(lease), true);
                            return OwnLease::ToGrant(lease, Granting { owners: self, owner: request.owner() });
                        }
                    },
                }
            }
            granted.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OwnerId, Owner>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(owners: &'a mut HashMap<OwnerId, Owner>, request: &AcquireRequest, ttl: Ttl) -> &'a mut Owner {
    owners.entry(request.owner()).or_insert_with(|| Owner {
        state: State::Asking,
        ttl,
        kept_alive: now(),
        unanswered: 0,
        hint: request.loss_hint().clone(),
        watch: Watch::None,
        ahead: Ahead::Unknown,
        lease: None,
        granting: false,
        group: None,
    })
}

/// A lease for an owner that has none.
pub(crate) enum Choice {
    Spare(i64),
    /// To be granted.
    New(i64),
}

/// The lease for an owner's key.
pub(crate) enum OwnLease<'a> {
    /// Granted before. It must be kept alive.
    There(i64),
    ToGrant(i64, Granting<'a>),
}

/// A grant under way. When it is dropped, the owner's other tries go on.
#[must_use]
pub(crate) struct Granting<'a> {
    owners: &'a Owners,
    owner: OwnerId,
}

impl Drop for Granting<'_> {
    fn drop(&mut self) {
        self.owners.with(self.owner, |known| known.granting = false);
        self.owners.granted.notify_waiters();
    }
}

/// A request under way. Dropped without an answer, it may be applied at any time.
#[must_use]
pub(crate) struct Sending<'a> {
    owners: &'a Owners,
    owner: OwnerId,
}

impl Sending<'_> {
    /// It was applied or refused, and can't be applied later; unless it was sent before, over another way, and that has no
    /// answer.
    pub(crate) fn answered_unless(self, tried_before: bool) {
        if tried_before {
            return;
        }
        self.owners.with(self.owner, |known| known.unanswered = known.unanswered.saturating_sub(1));
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
        assert!(matches!(another.await, OwnLease::There(1)));
    }

    #[test]
    fn one_members_word_is_no_grant_where_the_lease_may_be_over() {
        let owners = Owners::default();
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        let request = AcquireRequest::new(LockKey::new("x").unwrap(), ttl);
        owners.sending(&request, ttl).answered_unless(false);
        let deletion = Deletion { revision: 7, endpoint: 0 };
        let taken_when_kept_alive = |at| {
            owners.with(request.owner(), |known| {
                (known.ahead, known.kept_alive) = (Ahead::Gone(deletion), at);
                (known.take_gone(), known.take_gone())
            })
        };
        assert_eq!(taken_when_kept_alive(now()), Some((Some(deletion), None)), "once");
        // This process, or its host, stood still.
        assert_eq!(taken_when_kept_alive(Timestamp::ZERO), Some((None, None)));
    }
}

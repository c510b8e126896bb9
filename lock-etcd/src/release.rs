//! `release`: taking the owner's key away, and whatever else the owner may have at the store.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp};
use lock_core::{BackendError, Claim, ErrorKind, LockKey, Operation, Outcome, OwnerId, Release, Ttl};

use crate::admin::is_of_this_key_alone;
use crate::backend::{Shared, now};
use crate::error::Failed;
use crate::granting::HangsOn;
use crate::leases::Spare;
use crate::names::Place;
use crate::owners::{Ahead, Owner, State, Watch};
use crate::queue;
use crate::session::{IntoError, Session};
use crate::successor;
use crate::value;

const OPERATION: Operation = Operation::Release;

/// For how long a request that is still on its way finds its owner gone, at least.
const WITHDRAWN_FOR: Duration = Duration::from_secs(60);

impl Shared {
    pub(crate) async fn release(self: &Arc<Self>, claim: &Claim) -> Result<Release, BackendError> {
        let session = self.session();
        let place = self.place_of(claim.key(), claim.owner());
        // First, so that neither a keep-alive nor a hint is sent for it any more.
        let Some(known) = self.owners.remove(claim.owner()) else {
            return self.release_unknown(&session, claim).await;
        };
        let mut keep = PutBack { shared: self, claim, known: Some(known) };
        let Some(known) = &keep.known else { return Ok(Release::NotHeld) };
        // Nobody else's deletion of its key was told.
        let is_holder = matches!(known.state, State::Holding(_)) && !matches!(known.watch, Watch::Deleted);
        let answer = match (known.hangs_on.group().is_some(), known.unanswered, known.state) {
            (shared, 0, State::Holding(token)) => {
                let left = self.let_go(&session, known, &place, token, is_holder).await?;
                if !shared {
                    self.lease_is_free(&session, known, left).await?;
                }
                left
            }
            // A request may still be on its way. Its lease goes, and it is refused; a lease that others use stays, and so
            // it is written down that this owner has gone.
            (true, 1.., _) => {
                let left = self.leave(&session, queue::leave(&place), is_holder).await?;
                match self.withdraw(&session, OPERATION, &place, known.ttl).await {
                    // Nor is the late request applied then. The group withdraws it once there is room again.
                    Err(failed) if failed.is_out_of_space() => return Ok(left),
                    withdrawn => withdrawn.or_error(OPERATION)?,
                }
                left
            }
            _ => {
                let left = self.leave(&session, queue::leave(&place), is_holder).await?;
                if let Some(lease) = known.hangs_on.own() {
                    self.revoke(&session, OPERATION, lease).await.or_error(OPERATION)?;
                }
                left
            }
        };
        if let Some(HangsOn::Shared(group)) = keep.known.take().map(|known| known.hangs_on) {
            group.leave(claim.owner());
        }
        Ok(answer)
    }

    /// The lock is free. Its lease serves the next one, unless the key was gone: who knows what became of the lease.
    async fn lease_is_free(
        self: &Arc<Self>,
        session: &Arc<Session>,
        known: &Owner,
        left: Release,
    ) -> Result<(), BackendError> {
        let Some(id) = known.hangs_on.own() else { return Ok(()) };
        if left == Release::NotHeld {
            return self.revoke(session, OPERATION, id).await.or_error(OPERATION);
        }
        self.spare(session, Spare { id, ttl: known.ttl, kept_alive: known.kept_alive });
        Ok(())
    }

    /// A holder leaves the queue, and hands the lock over to the next one where that one is known.
    async fn let_go(
        &self,
        session: &Session,
        known: &Owner,
        place: &Place,
        token: i64,
        is_holder: bool,
    ) -> Result<Release, BackendError> {
        let alone = queue::leave_as_holder(place, token);
        let Some(next) = self.successor(session, known, place, token).await else {
            return self.leave(session, alone, is_holder).await;
        };
        match self.leave(session, successor::hand_over(place, token, &next), is_holder).await {
            // A server that is out of space refuses the touch of the next one's key. It takes a deletion.
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                let left = self.leave(session, alone, is_holder).await?;
                let by_the_first_try = error.outcome() == Outcome::Unknown && is_holder;
                Ok(if by_the_first_try { Release::Released } else { left })
            }
            left => left,
        }
    }

    /// Leaves the queue; says whether the lock was ours until then.
    async fn leave(&self, session: &Session, txn: Txn, is_holder: bool) -> Result<Release, BackendError> {
        let answer = self.send(session, OPERATION, txn).await.or_error(OPERATION)?;
        let was_there = successor::has_left(&answer.value);
        let seen = queue::seen(&answer.value);
        let was_first = seen.first.is_none() || seen.is_ours();
        // The first try may have done it, and its answer been lost: if there was anything to do.
        let by_the_first_try = !was_there && answer.tried_before && is_holder;
        let released = (was_there && was_first) || by_the_first_try;
        Ok(if released { Release::Released } else { Release::NotHeld })
    }

    /// An owner that this backend has nothing of: released before, or another backend's.
    async fn release_unknown(&self, session: &Session, claim: &Claim) -> Result<Release, BackendError> {
        let Some((found, is_first)) = self.find(session, OPERATION, claim.key(), claim.owner()).await? else {
            return Ok(Release::NotHeld);
        };
        let is_still = Compare::create_revision(found.key(), CompareOp::Equal, found.create_revision());
        let txn = Txn::new().when([is_still]).and_then([TxnOp::delete(found.key(), None)]);
        let left = self.send(session, OPERATION, txn).await.or_error(OPERATION)?.value.succeeded();
        if is_of_this_key_alone(&found) {
            self.revoke(session, OPERATION, found.lease()).await.or_error(OPERATION)?;
        }
        Ok(if left && is_first { Release::Released } else { Release::NotHeld })
    }

    /// The place of an owner of which nothing is known but that its key names it; and whether it is the first.
    pub(crate) async fn find(
        &self,
        session: &Session,
        operation: Operation,
        key: &LockKey,
        owner: OwnerId,
    ) -> Result<Option<(KeyValue, bool)>, BackendError> {
        let queue = self.queue(key);
        let found = session
            .call(operation, |mut link| {
                let (start, options) = (queue.start(), GetOptions::new().with_range(queue.end()));
                async move { link.kv.get(start, Some(options)).await }
            })
            .await
            .or_error(operation)?;
        let places = found.value.kvs();
        let own = places.iter().find(|place| value::owner_of(place) == Some(owner));
        let is_first = |own: &KeyValue| places.iter().all(|place| own.create_revision() <= place.create_revision());
        Ok(own.map(|own| (own.clone(), is_first(own))))
    }

    /// Makes sure that what this owner sent comes to nothing, even if it comes later, where it names a lease that lives on:
    /// it is written down that the owner has gone, and each of its transactions compares that.
    pub(crate) async fn withdraw(
        &self,
        session: &Session,
        operation: Operation,
        place: &Place,
        ttl: Ttl,
    ) -> Result<(), Failed> {
        let ttl = Ttl::new(ttl.get().max(WITHDRAWN_FOR)).unwrap_or(ttl);
        loop {
            self.grant(session, operation, place.lease, ttl).await?;
            match self.send(session, operation, queue::withdraw(place, place.lease)).await {
                // It ended just now; another is granted.
                Err(Failed::NoLease { .. }) => {}
                done => return done.map(drop),
            }
        }
    }
}

/// Remembers the owner again unless its release was done: the next try must know as much.
struct PutBack<'a> {
    shared: &'a Shared,
    claim: &'a Claim,
    known: Option<Owner>,
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        if let Some(mut known) = self.known.take() {
            // Not a holder any more, whatever became of this: it is neither renewed nor watched.
            (known.state, known.ahead) = (State::Asking, Ahead::Unknown);
            known.asked = now();
            self.shared.owners.put_back(self.claim.owner(), known);
        }
    }
}

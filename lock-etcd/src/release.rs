//! `release`: taking the owner's key away, and its lease.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{BackendError, Claim, Operation, Release, Ttl};

use crate::backend::Shared;
use crate::error::Failed;
use crate::names::Place;
use crate::owners::{Owner, State};
use crate::queue;
use crate::session::{IntoError, Session};

const OPERATION: Operation = Operation::Release;

/// For how long a request that is still on its way finds its owner gone, at least.
const WITHDRAWN_FOR: Duration = Duration::from_secs(60);

impl Shared {
    pub(crate) async fn release(self: &Arc<Self>, claim: &Claim) -> Result<Release, BackendError> {
        let session = self.session();
        let place = self.place(claim.key(), claim.owner());
        // First, so that neither a keep-alive nor a hint is sent for it any more.
        let known = self.owners.remove(claim.owner());
        let mut keep = PutBack { shared: self, claim, known };
        let answer = self.let_go(&session, &place, keep.known.as_ref()).await?;
        if let Some(group) = keep.known.take().and_then(|known| known.group) {
            group.leave(claim.owner());
        }
        Ok(answer)
    }

    async fn let_go(
        self: &Arc<Self>,
        session: &Arc<Session>,
        place: &Place,
        known: Option<&Owner>,
    ) -> Result<Release, BackendError> {
        match known {
            Some(Owner { unanswered: 0, state: State::Holding(token), .. }) => {
                let left = self.leave(session, queue::leave_as_holder(place, *token)).await?;
                if known.is_some_and(|known| known.group.is_some()) {
                    return Ok(left);
                }
                // The lock is free; the empty lease harms nobody, and ends by itself should this be lost.
                let (shared, session, lease) = (self.clone(), session.clone(), place.lease);
                tokio::spawn(async move {
                    if let Err(failed) = shared.revoke(&session, OPERATION, lease).await {
                        tracing::debug!(?failed, "a lease without a key was left to its TTL");
                    }
                });
                Ok(left)
            }
            // A request may still be on its way, and come after this.
            Some(Owner { unanswered: 1.., ttl, .. }) => {
                let left = self.leave(session, queue::leave(place)).await?;
                self.withdraw(session, OPERATION, place, *ttl).await.or_error(OPERATION)?;
                Ok(left)
            }
            _ => {
                let left = self.leave(session, queue::leave(place)).await?;
                self.revoke(session, OPERATION, place.lease).await.or_error(OPERATION)?;
                Ok(left)
            }
        }
    }

    /// Leaves the queue; says whether the lock was ours until then.
    async fn leave(&self, session: &Session, txn: etcd_client::Txn) -> Result<Release, BackendError> {
        let send = |mut link: crate::session::Link| {
            let txn = txn.clone();
            async move { link.kv.txn(txn).await }
        };
        let answer = session.call(OPERATION, send).await.or_error(OPERATION)?;
        let response = answer.value;
        let was_there = response.succeeded();
        let seen = queue::seen(&response);
        let was_first = seen.first.is_none() || seen.is_ours();
        // The first try may have done it, and its answer been lost.
        Ok(if (was_there && was_first) || (!was_there && answer.tried_before) {
            Release::Released
        } else {
            Release::NotHeld
        })
    }

    /// Makes sure that what this owner sent comes to nothing, even if it comes later: a grant finds the lease granted,
    /// and a transaction finds it written that the owner has gone. Both end with the lease, which nobody keeps alive.
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
                Err(Failed::NoLease) => {}
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
            // What was sent now may be applied late, too; that only undoes.
            known.state = State::Asking;
            self.shared.owners.put_back(self.claim.owner(), known);
        }
    }
}

//! The life of one lease: granted or taken from the spare ones, kept alive, given back or revoked.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{LeaseGrantOptions, LeaseTimeToLiveResponse};
use lock_core::{AcquireRequest, BackendError, LockKey, Operation, OwnerId, Ttl};

use crate::backend::{Shared, now};
use crate::error::Failed;
use crate::granting::OwnLease;
use crate::keep_alive::whole_seconds;
use crate::leases::Spare;
use crate::life::Life;
use crate::names::{Place, lease_of};
use crate::session::{IntoError, Session};

impl Shared {
    /// Where an owner's key is: it bears the lease that the owner has, or would be granted.
    pub(crate) fn place_of(&self, key: &LockKey, owner: OwnerId) -> Place {
        let known = self.owners.with(owner, |known| known.hangs_on.own()).flatten();
        self.queue(key).place(known.unwrap_or_else(|| lease_of(owner)))
    }

    pub(crate) fn own_place(&self, request: &AcquireRequest) -> Place {
        self.place_of(request.key(), request.owner())
    }

    /// The lease that the owner has, else a spare one, else one that is granted now; and how long it lives, or `None` if it
    /// must be kept alive.
    pub(crate) async fn lease_for(
        &self,
        session: &Session,
        operation: Operation,
        request: &AcquireRequest,
        ttl: Ttl,
    ) -> Result<(i64, Option<Life>), BackendError> {
        // Under the id that follows from an owner there may be a place in a group, or its withdrawal.
        let named_by = (!self.settings.share_leases).then_some(request.owner());
        // Known before anything is sent: should this be dropped, the owner's release revokes it.
        match self.owners.lease(request, ttl, || self.leases.choose(named_by, ttl)).await {
            OwnLease::There(lease, life) => Ok((lease, Some(life).filter(Life::is_young))),
            OwnLease::ToGrant(lease, _granting) => {
                let (sending, kept_alive) = (self.owners.sending(request, ttl), now());
                let lives = self.grant(session, operation, lease, ttl).await.or_error(operation)?;
                sending.answered_unless(false);
                if lives.is_some() {
                    self.owners.with(request.owner(), |known| known.kept_alive = kept_alive);
                }
                Ok((lease, lives.map(|ttl| Life { ttl, kept_alive })))
            }
        }
    }

    /// Grants a lease; `None` when it was granted before. The TTL is the server's, which may raise it.
    pub(crate) async fn grant(
        &self,
        session: &Session,
        operation: Operation,
        lease: i64,
        ttl: Ttl,
    ) -> Result<Option<Ttl>, Failed> {
        let seconds = i64::try_from(ttl.get().as_secs()).unwrap_or(i64::MAX);
        let granted = session
            .call(operation, |mut link| async move {
                link.lease.grant(seconds, Some(LeaseGrantOptions::new().with_id(lease))).await
            })
            .await;
        match granted {
            Ok(answer) => Ok(whole_seconds(answer.value.ttl())),
            Err(Failed::LeaseExists) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Keeps a lease alive; `None` when there is no such lease.
    pub(crate) async fn keep(
        &self,
        session: &Session,
        operation: Operation,
        lease: i64,
    ) -> Result<Option<Ttl>, Failed> {
        session.keep_alives.renew(session, operation, lease, session.limit()).await
    }

    /// How long a lease lives unless renewed, and what TTL it was granted. `None`: it has none, or is over.
    pub(crate) async fn time_to_live(
        &self,
        session: &Session,
        operation: Operation,
        lease: i64,
    ) -> Result<Option<(Duration, Ttl)>, Failed> {
        if lease == 0 {
            return Ok(None);
        }
        let answer: LeaseTimeToLiveResponse =
            session.call(operation, |mut link| async move { link.lease.time_to_live(lease, None).await }).await?.value;
        // Whole seconds, rounded down: it lives for less than one more.
        let left = u64::try_from(answer.ttl()).ok().map(|seconds| Duration::from_secs(seconds + 1));
        Ok(left.zip(whole_seconds(answer.granted_ttl())).map(|(left, granted)| (left.min(granted.get()), granted)))
    }

    /// The owner's key is not at the store, and its requests are answered: its lease may serve another. Where they aren't,
    /// the owner keeps it, and its release revokes it.
    pub(crate) fn give_lease_back(self: &Arc<Self>, session: &Arc<Session>, owner: OwnerId) {
        let known = self.owners.with(owner, |known| {
            let is_free = known.unanswered == 0;
            let lease = known.hangs_on.take_if(|lease| is_free && lease.own().is_some());
            lease.own().map(|id| Spare { id, ttl: known.ttl, kept_alive: known.kept_alive })
        });
        if let Some(Some(lease)) = known {
            self.spare(session, lease);
        }
        self.owners.forget(owner);
    }

    /// Keeps a lease for the next lock, or revokes it if there are enough. That may be lost: it ends by itself.
    pub(crate) fn spare(self: &Arc<Self>, session: &Arc<Session>, lease: Spare) {
        if self.leases.give_back(lease) {
            return;
        }
        let (shared, session) = (self.clone(), session.clone());
        tokio::spawn(async move {
            if let Err(failed) = shared.revoke(&session, Operation::Release, lease.id).await {
                tracing::debug!(?failed, "a lease without a key was left to its TTL");
            }
        });
    }

    /// The server says that there is no such lease: the owner needs another.
    pub(crate) fn lease_is_over(&self, owner: OwnerId, lease: i64) {
        self.leases.forget(lease);
        self.owners.with(owner, |known| known.hangs_on.take_if(|current| current.own() == Some(lease)));
    }

    /// Ends a lease and all that hangs on it. One that isn't there is fine.
    pub(crate) async fn revoke(&self, session: &Session, operation: Operation, lease: i64) -> Result<(), Failed> {
        match session.call(operation, |mut link| async move { link.lease.revoke(lease).await }).await {
            Ok(_) | Err(Failed::NoLease { .. }) => {
                self.leases.forget(lease);
                Ok(())
            }
            Err(failed) => Err(failed),
        }
    }
}

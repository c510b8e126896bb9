//! `try_acquire`: taking a lock that is free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{LeaseGrantOptions, LeaseTimeToLiveResponse, TxnResponse};
use lock_core::{
    AcquireRequest, Attempt, BackendError, Contention, ErrorKind, FencingToken, Grant, Operation, OwnerId, Ttl,
};

use crate::backend::Shared;
use crate::error::{Failed, place_lost};
use crate::group::Group;
use crate::keep_alive::whole_seconds;
use crate::names::Place;
use crate::owners::State;
use crate::queue::{self, Seen, Taken};
use crate::session::{IntoError, Session};
use crate::value::{self, Arrival};

const OPERATION: Operation = Operation::Acquire;

/// How often a transaction that came before its lease is sent again.
const OVERTAKEN: u32 = 3;

impl Shared {
    pub(crate) async fn try_acquire(self: &Arc<Self>, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = self.capabilities().grantable(request.ttl())?;
        let session = self.session();
        let place = self.place(request.key(), request.owner());
        match self.owners.state(request.owner()) {
            Some(State::Waiting(_) | State::Holding(_)) => self.ask_again(&session, request, &place).await,
            Some(State::Asking) => self.take(&session, request, &place, ttl).await,
            None if self.is_contended(request.key()) => {
                let seen = self.look(&session, &place).await?;
                if seen.first.is_some() && seen.own.is_none() {
                    return self.held(&session, request, &seen).await;
                }
                self.take(&session, request, &place, ttl).await
            }
            None => self.take(&session, request, &place, ttl).await,
        }
    }

    /// Takes the lock if its queue is empty.
    async fn take(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &AcquireRequest,
        place: &Place,
        ttl: Ttl,
    ) -> Result<Attempt, BackendError> {
        let sent = Instant::now();
        let sending = self.owners.sending(request, ttl);
        let share = self.settings.share_leases;
        let (taken, lives) = if share {
            (self.take_in_a_group(session, request, place, ttl).await?, Some(ttl))
        } else {
            self.take_with_a_lease(session, request, place, ttl).await?
        };
        sending.answered();
        match queue::taken(&taken) {
            Taken::Now(token) => {
                self.forget_contended(request.key());
                let lives = match lives {
                    Some(lives) => lives,
                    None => self.refresh(session, OPERATION, place.lease).await?,
                };
                Ok(self.granted(request, session, token, lives, sent))
            }
            Taken::Seen(seen) if seen.own.is_some() => self.ask_again(session, request, place).await,
            Taken::Seen(seen) if seen.first.is_none() => Err(given_up()),
            Taken::Seen(seen) => {
                if share {
                    self.leave_group(request.owner());
                    self.owners.forget(request.owner());
                } else {
                    self.undo_grant(session, request, place).await?;
                }
                self.held(session, request, &seen).await
            }
        }
    }

    /// Grants the lease and takes the lock at the same time: both requests travel together and share one commit of the
    /// server's. Should the second come before the first, it is refused, and sent again. No TTL: the lease was granted
    /// before.
    async fn take_with_a_lease(
        &self,
        session: &Session,
        request: &AcquireRequest,
        place: &Place,
        ttl: Ttl,
    ) -> Result<(TxnResponse, Option<Ttl>), BackendError> {
        let value = value::encode(request, ttl, Arrival::Takes);
        let taking = self.send(session, OPERATION, queue::take(place, place.lease, value.clone()));
        let (granted, mut taken) = tokio::join!(self.grant(session, OPERATION, place.lease, ttl), taking);
        let granted = granted.or_error(OPERATION)?;
        for _ in 0..OVERTAKEN {
            if !matches!(taken, Err(Failed::NoLease)) {
                break;
            }
            taken = self.send(session, OPERATION, queue::take(place, place.lease, value.clone())).await;
        }
        Ok((taken.or_error(OPERATION)?, granted))
    }

    /// Takes the lock with a lease that many locks share.
    async fn take_in_a_group(
        self: &Arc<Self>,
        session: &Session,
        request: &AcquireRequest,
        place: &Place,
        ttl: Ttl,
    ) -> Result<TxnResponse, BackendError> {
        loop {
            let before = self.group_of(request.owner());
            let group = self.join_group(session, &request.claim(), ttl, before).await.or_error(OPERATION)?;
            self.owners.with(request.owner(), |known| known.group = Some(group.clone()));
            let value = value::encode(request, ttl, Arrival::Takes);
            match self.send(session, OPERATION, queue::take(place, group.lease, value)).await {
                // The group's lease ended just now; another is granted.
                Err(Failed::NoLease) => {
                    group.is_gone();
                    self.groups.forget(&group);
                }
                taken => return taken.or_error(OPERATION),
            }
        }
    }

    /// Its lease, if others share it.
    pub(crate) fn group_of(&self, owner: OwnerId) -> Option<Arc<Group>> {
        self.owners.with(owner, |known| known.group.clone()).flatten()
    }

    fn leave_group(&self, owner: OwnerId) {
        if let Some(group) = self.owners.with(owner, |known| known.group.take()).flatten() {
            group.leave(owner);
        }
    }

    /// Keeps alive what an owner's key hangs on; `None` when that is gone.
    async fn keep_owner(
        self: &Arc<Self>,
        session: &Session,
        request: &AcquireRequest,
        place: &Place,
    ) -> Result<Option<Ttl>, Failed> {
        let Some(group) = self.group_of(request.owner()) else {
            return self.keep(session, OPERATION, place.lease).await;
        };
        let sent = Instant::now();
        let lives = self.extend(session, OPERATION, &group).await? && group.renewed(request.owner(), sent);
        Ok(lives.then(|| request.ttl().round_up_to(Duration::from_secs(1))))
    }

    /// An owner that has a place asks whether its turn has come. The lease is kept alive at the same time, so that the
    /// grant is for a whole TTL; the read says whether the place is there, which a keep-alive doesn't.
    async fn ask_again(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &AcquireRequest,
        place: &Place,
    ) -> Result<Attempt, BackendError> {
        let seen = self.look(session, place);
        let sent = Instant::now();
        let (seen, lives) = tokio::join!(seen, self.keep_owner(session, request, place));
        let (seen, lives) = (seen?, lives.or_error(OPERATION)?);
        match (&seen.own, lives) {
            (Some(own), Some(lives)) if seen.is_ours() => {
                Ok(self.granted(request, session, own.create_revision(), lives, sent))
            }
            (Some(own), Some(_)) => {
                self.waits(request, own.create_revision(), sent);
                self.held_by(request, &seen)
            }
            _ => {
                self.owners.forget(request.owner());
                Err(place_lost(OPERATION))
            }
        }
    }

    fn granted(
        self: &Arc<Self>,
        request: &AcquireRequest,
        session: &Arc<Session>,
        revision: i64,
        lives: Ttl,
        sent: Instant,
    ) -> Attempt {
        self.owners.with(request.owner(), |known| {
            known.state = State::Holding(revision);
            (known.ttl, known.kept_alive) = (lives, sent);
            known.hint = request.loss_hint().clone();
        });
        self.watch_later(session, request.claim(), revision);
        Attempt::Granted(Grant::new(FencingToken::new(u64::try_from(revision).unwrap_or_default()), lives))
    }

    fn waits(&self, request: &AcquireRequest, revision: i64, sent: Instant) {
        self.owners.with(request.owner(), |known| {
            known.state = State::Waiting(revision);
            known.kept_alive = sent;
        });
    }

    /// Somebody else's. For one who has no place yet, also how long their lease lives.
    async fn held(&self, session: &Session, request: &AcquireRequest, seen: &Seen) -> Result<Attempt, BackendError> {
        self.remember_contended(request.key());
        let Attempt::Held(contention) = self.held_by(request, seen)? else { return Err(given_up()) };
        let Some(first) = &seen.first else { return Ok(Attempt::Held(contention)) };
        // Told for people; an answer without it is good as well.
        let left = self.time_to_live(session, OPERATION, first.lease()).await.ok().flatten();
        let record = match (left, contention.record().ttl()) {
            (Some((left, _)), Some(ttl)) => contention.record().clone().with_lease(ttl, Some(left.min(ttl.get()))),
            (Some((left, granted)), None) => contention.record().clone().with_lease(granted, Some(left)),
            (None, _) => return Ok(Attempt::Held(contention)),
        };
        Ok(Attempt::Held(Contention::new(record).with_waiters(seen.waiters())))
    }

    fn held_by(&self, request: &AcquireRequest, seen: &Seen) -> Result<Attempt, BackendError> {
        let Some(first) = &seen.first else { return Err(place_lost(OPERATION)) };
        let own = u64::from(seen.own.is_some());
        let record = value::record(request.key(), first);
        Ok(Attempt::Held(Contention::new(record).with_waiters(seen.waiters().saturating_sub(own))))
    }

    pub(crate) async fn look(&self, session: &Session, place: &Place) -> Result<Seen, BackendError> {
        let response = self.send(session, OPERATION, queue::look(place)).await.or_error(OPERATION)?;
        Ok(queue::seen(&response))
    }

    /// Grants the owner's lease; `None` when it was granted before. The TTL is the server's, which may raise it.
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

    pub(crate) async fn refresh(
        &self,
        session: &Session,
        operation: Operation,
        lease: i64,
    ) -> Result<Ttl, BackendError> {
        self.keep(session, operation, lease).await.or_error(operation)?.ok_or_else(|| place_lost(operation))
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

    /// Takes a lease back that turned out to be of no use.
    async fn undo_grant(&self, session: &Session, request: &AcquireRequest, place: &Place) -> Result<(), BackendError> {
        self.revoke(session, OPERATION, place.lease).await.or_error(OPERATION)?;
        self.owners.forget(request.owner());
        Ok(())
    }

    /// Ends a lease and all that hangs on it. One that isn't there is fine.
    pub(crate) async fn revoke(&self, session: &Session, operation: Operation, lease: i64) -> Result<(), Failed> {
        match session.call(operation, |mut link| async move { link.lease.revoke(lease).await }).await {
            Ok(_) | Err(Failed::NoLease) => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    pub(crate) async fn send(
        &self,
        session: &Session,
        operation: Operation,
        txn: etcd_client::Txn,
    ) -> Result<etcd_client::TxnResponse, Failed> {
        let send = |mut link: crate::session::Link| {
            let txn = txn.clone();
            async move { link.kv.txn(txn).await }
        };
        Ok(session.call(operation, send).await?.value)
    }
}

/// Only a request that was overtaken by its owner's release sees this.
pub(crate) fn given_up() -> BackendError {
    BackendError::new(ErrorKind::Protocol, OPERATION, "this owner has given up; a new acquisition has a new owner")
}

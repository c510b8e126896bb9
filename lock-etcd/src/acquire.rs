//! `try_acquire`: taking a lock that is free.

use std::sync::Arc;

use lock_core::{
    AcquireRequest, Attempt, BackendError, Contention, ErrorKind, Operation, Outcome, OwnerId, Timestamp, Ttl,
};

use crate::backend::{Shared, now};
use crate::error::place_lost;
use crate::granting::HangsOn;
use crate::group::Group;
use crate::life::Life;
use crate::names::Place;
use crate::owners::State;
use crate::queue::{self, Before, Seen, Taken};
use crate::session::{IntoError, Session};
use crate::transact::Sent;
use crate::value::{self, Arrival};

const OPERATION: Operation = Operation::Acquire;

impl Shared {
    pub(crate) async fn try_acquire(self: &Arc<Self>, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = self.capabilities().grantable(request.ttl())?;
        let session = self.session();
        self.sweep_at_times();
        let state = || self.owners.state(request.owner());
        if state().is_none() && request.will_wait() && self.is_contended(request.key()) {
            return self.line_up_at_once(&session, request, ttl).await;
        }
        if state().is_none() {
            // A read is cheaper than a write in vain, or than a lease for one.
            let is_ready = self.settings.share_leases || self.leases.has_spare(ttl);
            if !is_ready || self.is_contended(request.key()) {
                let seen = self.look_at_first(&session, request).await?;
                // If another call of this owner began meanwhile, what was seen may be its own.
                if seen.first.is_some() && state().is_none() {
                    return self.held(&session, request, &seen).await;
                }
            }
        }
        match state() {
            Some(State::Waiting(_) | State::Holding(_)) => self.ask_again(&session, request).await,
            // Its lease is there, or being granted, or it has none.
            Some(State::Asking) | None => self.take(&session, request, ttl).await,
        }
    }

    /// Takes the lock if its queue is empty.
    async fn take(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &AcquireRequest,
        ttl: Ttl,
    ) -> Result<Attempt, BackendError> {
        let asked = now();
        let value = value::encode(request, ttl, Arrival::Takes);
        let in_a_group =
            if self.settings.share_leases { self.take_in_a_group(session, request, ttl, &value).await? } else { None };
        let take = |place: &Place, lease| queue::take(place, lease, value.clone());
        let Sent { response, life, tried_before } = match in_a_group {
            Some(sent) => sent,
            None => self.send_with_a_lease(session, OPERATION, request, ttl, take).await?,
        };
        match queue::taken(&response) {
            Taken::Now(revision) => {
                self.forget_contended(request.key());
                Ok(self.granted(request, session, revision, life, asked))
            }
            // By an earlier request of this owner.
            Taken::Seen(seen) if seen.own.is_some() => {
                self.owners.with(request.owner(), |known| known.state = State::Waiting(seen.own_revision()));
                self.ask_again(session, request).await
            }
            Taken::Seen(seen) if seen.first.is_none() => Err(given_up()),
            // "Held" promises that nothing is left, and whoever hears it need not release.
            Taken::Seen(_) if tried_before => Err(may_come_late()),
            Taken::Seen(seen) => {
                self.leave_group(request.owner());
                self.give_lease_back(session, request.owner());
                self.held(session, request, &seen).await
            }
        }
    }

    /// Who will wait for a lock that somebody else held a moment ago takes a place in its queue: that tells how things are,
    /// and if nobody is there any more, the lock is taken.
    async fn line_up_at_once(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &AcquireRequest,
        ttl: Ttl,
    ) -> Result<Attempt, BackendError> {
        let asked = now();
        let (joined, life) = self.join(session, OPERATION, request, ttl).await?;
        match joined.before {
            Before::Nobody => Ok(self.granted(request, session, joined.revision, life, asked)),
            Before::One(_) => {
                self.remember_contended(request.key());
                held_by(request, &joined.seen)
            }
            Before::Unknown => self.ask_again(session, request).await,
        }
    }

    /// The lock is the owner's, in a try that began at `asked`.
    pub(crate) fn granted(
        self: &Arc<Self>,
        request: &AcquireRequest,
        session: &Arc<Session>,
        revision: i64,
        life: Life,
        asked: Timestamp,
    ) -> Attempt {
        self.owners.with(request.owner(), |known| {
            if known.state != State::Holding(revision) {
                (known.lined_up, known.behind) = (matches!(known.state, State::Waiting(_)), None);
            }
            known.state = State::Holding(revision);
            known.kept_alive = life.kept_alive;
            known.hint = request.loss_hint().clone();
        });
        self.watch_later(session, request.claim(), revision);
        Attempt::Granted(life.grant(revision, asked))
    }

    /// Its lease, if others share it.
    pub(crate) fn group_of(&self, owner: OwnerId) -> Option<Arc<Group>> {
        self.owners.with(owner, |known| known.hangs_on.group().cloned()).flatten()
    }

    /// Not while a request that names the group's lease may still be applied: the owner's release must know of it.
    fn leave_group(&self, owner: OwnerId) {
        let left = self.owners.with(owner, |known| {
            let is_free = known.unanswered == 0;
            known.hangs_on.take_if(|lease| is_free && lease.group().is_some())
        });
        if let Some(HangsOn::Shared(group)) = left {
            group.leave(owner);
        }
    }

    /// The owner's key, or what it hung on, is gone: the next try begins anew.
    pub(crate) fn place_is_gone(&self, owner: OwnerId, operation: Operation) -> BackendError {
        self.leave_group(owner);
        let lease = self.owners.with(owner, |known| known.hangs_on.own()).flatten();
        if let Some(lease) = lease {
            self.lease_is_over(owner, lease);
        }
        self.owners.forget(owner);
        place_lost(operation)
    }

    /// Somebody else's. Also how long their lease lives, unless this was asked a moment ago: it is told for people.
    async fn held(&self, session: &Session, request: &AcquireRequest, seen: &Seen) -> Result<Attempt, BackendError> {
        let is_news = !self.is_contended(request.key());
        self.remember_contended(request.key());
        let attempt = held_by(request, seen)?;
        let (Attempt::Held(contention), Some(first), true) = (&attempt, &seen.first, is_news) else {
            return Ok(attempt);
        };
        let left = self.time_to_live(session, OPERATION, first.lease()).await.ok().flatten();
        let record = match (left, contention.record().ttl()) {
            (Some((left, _)), Some(ttl)) => contention.record().clone().with_lease(ttl, Some(left.min(ttl.get()))),
            (Some((left, granted)), None) => contention.record().clone().with_lease(granted, Some(left)),
            (None, _) => return Ok(attempt),
        };
        Ok(Attempt::Held(Contention::new(record).with_waiters(contention.waiters().unwrap_or(0))))
    }

    async fn look_at_first(&self, session: &Session, request: &AcquireRequest) -> Result<Seen, BackendError> {
        let txn = queue::look_at_first(&self.queue(request.key()));
        let answer = self.send(session, OPERATION, txn).await.or_error(OPERATION)?;
        Ok(queue::seen_first(&answer.value))
    }
}

pub(crate) fn held_by(request: &AcquireRequest, seen: &Seen) -> Result<Attempt, BackendError> {
    let Some(first) = &seen.first else { return Err(place_lost(OPERATION)) };
    let own = u64::from(seen.own.is_some());
    let record = value::record(request.key(), first);
    Ok(Attempt::Held(Contention::new(record).with_waiters(seen.waiters().saturating_sub(own))))
}

/// The lock is held, but that was another endpoint's answer. The next try says so if it has one answer alone.
fn may_come_late() -> BackendError {
    let message = "the lock is held, but the request was sent to another endpoint before, which gave no answer";
    BackendError::new(ErrorKind::Unavailable, OPERATION, message).with_outcome(Outcome::Unknown)
}

/// Only a request that was overtaken by its owner's release sees this.
pub(crate) fn given_up() -> BackendError {
    BackendError::new(ErrorKind::Protocol, OPERATION, "this owner has given up; a new acquisition has a new owner")
}

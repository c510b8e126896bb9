//! Whether the turn of an owner that has a place in the queue has come.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{AcquireRequest, Attempt, BackendError, Operation, Ttl};

use crate::acquire::held_by;
use crate::backend::{Shared, now};
use crate::error::Failed;
use crate::granting::HangsOn;
use crate::names::Place;
use crate::owners::{Owner, State};
use crate::queue::{self, Seen};
use crate::session::{IntoError, Link, Session};
use crate::watch::Deletion;

const OPERATION: Operation = Operation::Acquire;

impl Shared {
    /// An owner that has a place asks whether its turn has come. The lease is kept alive at the same time, so that the
    /// grant is for a whole TTL; the read says whether the place is there, which a keep-alive doesn't.
    pub(crate) async fn ask_again(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &AcquireRequest,
    ) -> Result<Attempt, BackendError> {
        if let Some(Some((revision, left))) = self.owners.with(request.owner(), Owner::take_handed_over) {
            return Ok(self.handed_over(session, request, revision, left));
        }
        let place = self.own_place(request);
        let sent = now();
        let gone = self.owners.with(request.owner(), Owner::take_gone).flatten();
        let looking = self.look(session, &place, gone);
        let (seen, lives) = tokio::join!(looking, self.keep_owner(session, OPERATION, request));
        let (seen, lives) = (seen.or_error(OPERATION)?, lives.or_error(OPERATION)?);
        match (&seen.own, lives) {
            (Some(_), Some(lives)) if seen.is_ours() => {
                Ok(self.granted(request, session, seen.own_revision(), lives, sent))
            }
            (Some(_), Some(_)) => {
                self.owners.with(request.owner(), |known| {
                    known.state = State::Waiting(seen.own_revision());
                    known.kept_alive = sent;
                });
                held_by(request, &seen)
            }
            _ => Err(self.place_is_gone(request.owner(), OPERATION)),
        }
    }

    /// Nothing is asked: the event told that the place was there, and the first, and the lease can't have run out since. The
    /// grant lives as long as that lease does by the last keep-alive; the supervisor renews it soon.
    fn handed_over(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &AcquireRequest,
        revision: i64,
        left: Duration,
    ) -> Attempt {
        let (ttl, kept_alive) =
            self.owners.with(request.owner(), |known| (known.ttl, known.kept_alive)).unwrap_or((request.ttl(), now()));
        let grant = self.grant_to(request, session, revision, ttl, kept_alive);
        Attempt::Granted(grant.with_first_lease(left))
    }

    /// Own place and head of the queue. Who was told that the one before is gone asks the member that told it, which needs
    /// nobody else for the answer.
    async fn look(&self, session: &Session, place: &Place, gone: Option<Deletion>) -> Result<Seen, Failed> {
        if let Some(gone) = gone {
            let ask = |mut link: Link| {
                let txn = queue::look_at_one_member(place);
                async move { link.kv.txn(txn).await }
            };
            let answer = session.ask(gone.endpoint, OPERATION, &ask).await;
            if let Some(seen) = answer.ok().and_then(|answer| queue::seen_since(&answer, gone.revision)) {
                return Ok(seen);
            }
        }
        Ok(queue::seen(&self.send(session, OPERATION, queue::look(place)).await?.value))
    }

    /// Keeps alive what an owner's key hangs on; `None` when that is gone.
    pub(crate) async fn keep_owner(
        self: &Arc<Self>,
        session: &Session,
        operation: Operation,
        request: &AcquireRequest,
    ) -> Result<Option<Ttl>, Failed> {
        match self.owners.with(request.owner(), |known| known.hangs_on.clone()).unwrap_or_default() {
            HangsOn::Own(lease) | HangsOn::Granting(lease) => self.keep(session, operation, lease).await,
            HangsOn::Shared(group) => {
                let sent = now();
                let lives = self.extend(session, operation, &group).await? && group.renewed(request.owner(), sent);
                Ok(lives.then(|| request.ttl().round_up_to(Duration::from_secs(1))))
            }
            HangsOn::Nothing => Ok(None),
        }
    }
}

//! Whether the turn of an owner that has a place in the queue has come.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::TxnResponse;
use lock_core::{AcquireRequest, Attempt, BackendError, Operation, Ttl};

use crate::acquire::held_by;
use crate::backend::{Shared, now};
use crate::error::Failed;
use crate::granting::HangsOn;
use crate::life::Life;
use crate::names::Place;
use crate::news::Deletion;
use crate::owners::{Owner, State};
use crate::queue::{self, Seen};
use crate::session::{IntoError, Link, Session};

const OPERATION: Operation = Operation::Acquire;

impl Shared {
    /// An owner that has a place asks whether its turn has come. The lease is kept alive at the same time, so that the
    /// grant is for a whole TTL; the read says whether the place is there, which a keep-alive doesn't.
    pub(crate) async fn ask_again(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &AcquireRequest,
    ) -> Result<Attempt, BackendError> {
        let asked = now();
        // Nothing is asked: the event told that the place was there, and the first, and the lease can't have run out since.
        // The grant lives as long as that lease does by the last keep-alive; the supervisor renews it soon.
        if let Some(Some((revision, life))) = self.owners.with(request.owner(), Owner::take_handed_over) {
            return Ok(self.granted(request, session, revision, life, asked));
        }
        let place = self.own_place(request);
        let gone = self.owners.with(request.owner(), Owner::take_gone).flatten();
        let looking = self.look(session, &place, gone);
        let (seen, lives) = tokio::join!(looking, self.keep_owner(session, OPERATION, request));
        let (seen, lives) = (seen.or_error(OPERATION)?, lives.or_error(OPERATION)?);
        match (&seen.own, lives) {
            (Some(_), Some(lives)) if seen.is_ours() => {
                let life = Life { ttl: lives, kept_alive: asked };
                Ok(self.granted(request, session, seen.own_revision(), life, asked))
            }
            (Some(_), Some(_)) => {
                self.owners.with(request.owner(), |known| {
                    known.state = State::Waiting(seen.own_revision());
                    known.kept_alive = asked;
                });
                held_by(request, &seen)
            }
            _ => Err(self.place_is_gone(request.owner(), OPERATION)),
        }
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
            if let Some(seen) = answer.ok().and_then(|answer| ours_since(&answer, gone.revision)) {
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

/// The answer of one member, if it proves that the lock is ours: it has the revision of the deletion, and the own place
/// first. It may have less: the member tells of a deletion a moment before its reads show it, behind one address there may
/// be several members, and one that lags may tell of an earlier deletion of that key, and not have the own place yet.
fn ours_since(response: &TxnResponse, revision: i64) -> Option<Seen> {
    let has_it = response.header().is_some_and(|header| header.revision() >= revision);
    Some(queue::seen(response)).filter(|seen| has_it && seen.is_ours())
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::{
        PbKeyValue, PbRangeResponse, PbResponseHeader, PbResponseOp, PbTxnOpResponse, PbTxnResponse,
    };

    use super::*;

    /// An answer as of a revision, with the own place created in that one and the first in this one, where they are there.
    fn answer(revision: i64, places: [Option<i64>; 2]) -> TxnResponse {
        let get = |place: Option<i64>| {
            let kvs = place.map(|created| PbKeyValue {
                key: format!("q/{created}").into_bytes(),
                create_revision: created,
                ..Default::default()
            });
            let range = PbRangeResponse { kvs: kvs.into_iter().collect(), ..Default::default() };
            PbResponseOp { response: Some(PbTxnOpResponse::ResponseRange(range)) }
        };
        let header = PbResponseHeader { revision, ..Default::default() };
        let responses = places.map(get).to_vec();
        TxnResponse(PbTxnResponse { header: Some(header), succeeded: true, responses })
    }

    #[test]
    fn one_member_proves_a_grant_and_nothing_else() {
        let mine = ours_since(&answer(9, [Some(5), Some(5)]), 9).expect("the own place is first");
        assert_eq!(mine.own_revision(), 5);
        assert!(ours_since(&answer(8, [Some(5), Some(5)]), 9).is_none(), "it doesn't have the deletion yet");
        assert!(ours_since(&answer(9, [Some(5), Some(4)]), 9).is_none(), "another is first");
        assert!(ours_since(&answer(9, [None, Some(4)]), 9).is_none(), "it may lag");
        assert!(ours_since(&answer(9, [None, None]), 9).is_none());
    }
}

//! Who stands behind a holder. It is told with the release that the lock is its.

use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    TxnResponse,
};
use lock_core::{Claim, Operation};
use tokio::time::timeout;

use crate::backend::Shared;
use crate::names::{Place, Queue};
use crate::owners::{Owner, State};
use crate::queue;
use crate::session::{Link, Session};

/// A release isn't kept waiting for longer by a member that doesn't say who is next: who isn't told asks when it sees that
/// the holder is gone.
const AT_MOST: Duration = Duration::from_millis(50);

/// The place just behind the own.
#[derive(Debug, Clone)]
pub(crate) struct Successor {
    key: Vec<u8>,
    /// Its create revision.
    revision: i64,
}

impl Shared {
    /// Looks who is next while the lock is held, so that the release needn't.
    pub(crate) async fn look_behind(&self, session: &Session, claim: &Claim, token: i64) {
        let is_due = self.owners.with(claim.owner(), |known| known.state == State::Holding(token) && known.lined_up);
        if is_due != Some(true) {
            return;
        }
        let place = self.place_of(claim.key(), claim.owner());
        let behind = ask(session, &place, token).await;
        self.owners.with(claim.owner(), |known| {
            if known.state == State::Holding(token) {
                known.behind = behind;
            }
        });
    }

    /// Who is next, as far as is known at the release of a holder that stood in the queue. Behind others hardly anybody is.
    pub(crate) async fn successor(
        &self,
        session: &Session,
        known: &Owner,
        place: &Place,
        token: i64,
    ) -> Option<Successor> {
        match &known.behind {
            Some(behind) => Some(behind.clone()),
            None if known.lined_up => timeout(AT_MOST, ask(session, place, token)).await.ok()?,
            None => None,
        }
    }
}

async fn ask(session: &Session, place: &Place, token: i64) -> Option<Successor> {
    let ask = |mut link: Link| {
        let (start, options) = (place.queue.start(), behind_options(&place.queue, token));
        async move { link.kv.get(start, Some(options)).await }
    };
    behind(&session.ask(session.index(), Operation::Release, &ask).await.ok()?)
}

/// The range options that find who comes just behind the place with this create revision, as one member has it. It may
/// lag; then it knows of fewer. Whoever it names, nobody who is still there stands before it: places only come behind.
fn behind_options(queue: &Queue, revision: i64) -> GetOptions {
    queue::range(queue)
        .with_min_create_revision(revision + 1)
        .with_sort(SortTarget::Create, SortOrder::Ascend)
        .with_limit(1)
        .with_keys_only()
        .with_serializable()
}

fn behind(response: &GetResponse) -> Option<Successor> {
    let next = response.kvs().first()?;
    Some(Successor { key: next.key().to_vec(), revision: next.create_revision() })
}

/// Leaves the queue as the holder, and tells the one behind that the lock is its: its key is touched, which changes nothing of it but the
/// revision of its last change. Where that one is gone, the queue is just left.
pub(crate) fn hand_over(place: &Place, token: i64, to: &Successor) -> Txn {
    let touch = PutOptions::new().with_ignore_value().with_ignore_lease();
    Txn::new()
        .when([
            Compare::create_revision(place.key.clone(), CompareOp::Equal, token),
            Compare::create_revision(to.key.clone(), CompareOp::Equal, to.revision),
        ])
        .and_then([TxnOp::delete(place.key.clone(), None), TxnOp::put(to.key.clone(), "", Some(touch))])
        .or_else([TxnOp::txn(queue::leave_as_holder(place, token))])
}

/// Whether the key was there to be deleted.
pub(crate) fn has_left(response: &TxnResponse) -> bool {
    let inner = |response| matches!(response, TxnOpResponse::Txn(inner) if inner.succeeded());
    response.succeeded() || response.op_responses().into_iter().any(inner)
}

//! Sending a transaction that names a lease, and having the lease.

use std::sync::Arc;

use etcd_client::{Txn, TxnResponse};
use lock_core::{AcquireRequest, BackendError, Operation, Ttl};

use crate::backend::{Shared, now};
use crate::error::Failed;
use crate::granting::HangsOn;
use crate::life::Life;
use crate::names::{Place, lease_of};
use crate::owners::Sending;
use crate::queue;
use crate::session::{Answer, IntoError, Session};

const OPERATION: Operation = Operation::Acquire;

/// A transaction that was applied.
pub(crate) struct Sent {
    pub(crate) response: TxnResponse,
    pub(crate) life: Life,
    /// An earlier try of it may be applied as well, and late.
    pub(crate) tried_before: bool,
}

impl Shared {
    /// Sends a transaction that names the owner's lease, which is had first.
    ///
    /// A lease that isn't young is kept alive at the same time: both requests together take as long as one write. To ask
    /// that for each lock would cost the server a third of what the lock does (3.4 copies all that was written in the last
    /// tenth of a second for each answer of a keep-alive, as it does for each transaction).
    pub(crate) async fn send_with_a_lease(
        self: &Arc<Self>,
        session: &Session,
        operation: Operation,
        request: &AcquireRequest,
        ttl: Ttl,
        transaction: impl Fn(&Place, i64) -> Txn,
    ) -> Result<Sent, BackendError> {
        let mut tried = false;
        loop {
            let (lease, life) = self.lease_for(session, operation, request, ttl).await?;
            let kept_alive = now();
            let place = self.queue(request.key()).place(lease);
            let sending = self.owners.sending(request, ttl);
            let asking = self.send(session, operation, transaction(&place, lease));
            let keeping = async {
                if life.is_some() {
                    return Ok(life);
                }
                let lives = self.keep(session, operation, lease).await?;
                // Also where the lock is held: the lease serves the next try.
                if lives.is_some() {
                    self.owners.with(request.owner(), |known| known.kept_alive = kept_alive);
                }
                Ok(lives.map(|ttl| Life { ttl, kept_alive }))
            };
            let (answer, life) = tokio::join!(asking, keeping);
            let response = sending.answer(answer, &mut tried).or_error(operation)?;
            match (response, life.or_error(operation)?) {
                (Some(response), Some(life)) => return Ok(Sent { response, life, tried_before: tried }),
                // The lease is over, and what hung on it is gone. Another one.
                _ => self.lease_is_over(request.owner(), lease),
            }
        }
    }

    /// Takes the lock with a lease that many locks share. `None` when the owner has one of its own, or needs one.
    pub(crate) async fn take_in_a_group(
        self: &Arc<Self>,
        session: &Session,
        request: &AcquireRequest,
        ttl: Ttl,
        value: &[u8],
    ) -> Result<Option<Sent>, BackendError> {
        let owner = request.owner();
        let place = self.queue(request.key()).place(lease_of(owner));
        let mut tried = false;
        loop {
            if self.owners.with(owner, |known| known.hangs_alone()) == Some(true) {
                return Ok(None);
            }
            let (sending, kept_alive) = (self.owners.sending(request, ttl), now());
            let before = self.group_of(owner);
            let group = self.join_group(session, &request.claim(), ttl, before).await.or_error(OPERATION)?;
            let is_member = self.owners.with(owner, |known| {
                if !known.hangs_alone() {
                    known.hangs_on = HangsOn::Shared(group.clone());
                }
                known.hangs_on.group().is_some()
            });
            if is_member != Some(true) {
                // Another call of this owner lined up meanwhile.
                group.leave(owner);
                sending.answered_unless(false);
                return Ok(None);
            }
            let answer = self.send(session, OPERATION, queue::take(&place, group.lease, value.to_vec())).await;
            if let Some(response) = sending.answer(answer, &mut tried).or_error(OPERATION)? {
                let life = Life { ttl, kept_alive };
                return Ok(Some(Sent { response, life, tried_before: tried }));
            }
            // The group's lease ended just now; another is granted.
            group.is_gone();
            self.groups.forget(&group);
        }
    }

    pub(crate) async fn send(
        &self,
        session: &Session,
        operation: Operation,
        txn: Txn,
    ) -> Result<Answer<TxnResponse>, Failed> {
        session
            .call(operation, |mut link| {
                let txn = txn.clone();
                async move { link.kv.txn(txn).await }
            })
            .await
    }
}

impl Sending<'_> {
    /// What came of it; `None` when there was no lease.
    fn answer(
        self,
        answer: Result<Answer<TxnResponse>, Failed>,
        tried: &mut bool,
    ) -> Result<Option<TxnResponse>, Failed> {
        let (response, tried_before) = match answer {
            Ok(Answer { value, tried_before }) => (Some(value), tried_before),
            Err(Failed::NoLease { tried_before }) => (None, tried_before),
            Err(failed) => return Err(failed),
        };
        self.answered_unless(tried_before);
        *tried |= tried_before;
        Ok(response)
    }
}

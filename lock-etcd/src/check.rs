//! Looking whether a key is still the one that was granted: many callers share one request.

use std::sync::{Mutex, MutexGuard, PoisonError};

use etcd_client::{GetOptions, Txn, TxnOp, TxnOpResponse};
use lock_core::Operation;
use tokio::sync::oneshot;

use crate::error::Failed;
use crate::session::Session;

/// The server takes no more operations in one transaction, unless told otherwise.
const AT_ONCE: usize = 100;

/// Looks that wait to be sent together.
#[derive(Default)]
pub(crate) struct Checks {
    waiting: Mutex<Vec<Look>>,
}

struct Look {
    key: Vec<u8>,
    reply: oneshot::Sender<i64>,
}

impl Checks {
    /// Whether `key` exists and was created in `revision`. A linearizable read.
    pub(crate) async fn is(
        &self,
        session: &Session,
        operation: Operation,
        key: &[u8],
        revision: i64,
    ) -> Result<bool, Failed> {
        loop {
            let (reply, answer) = oneshot::channel();
            let is_first = {
                let mut waiting = self.lock();
                waiting.push(Look { key: key.to_vec(), reply });
                waiting.len() == 1
            };
            if is_first {
                self.send_all(session, operation).await?;
            }
            // Without an answer the one who sent for all failed or was dropped: then this one sends.
            if let Ok(found) = answer.await {
                return Ok(found == revision);
            }
        }
    }

    async fn send_all(&self, session: &Session, operation: Operation) -> Result<(), Failed> {
        // Should this be dropped here, nobody may wait for it.
        let mut clear = Clear(Some(self));
        // Renewals that are due together come together.
        tokio::task::yield_now().await;
        clear.0 = None;
        let looks = std::mem::take(&mut *self.lock());
        let mut looks = looks.into_iter().peekable();
        while looks.peek().is_some() {
            let batch: Vec<Look> = looks.by_ref().take(AT_ONCE).collect();
            send(session, operation, batch).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Look>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up for all who wait, so that each of them asks by itself.
struct Clear<'a>(Option<&'a Checks>);

impl Drop for Clear<'_> {
    fn drop(&mut self) {
        if let Some(checks) = self.0 {
            checks.lock().clear();
        }
    }
}

async fn send(session: &Session, operation: Operation, batch: Vec<Look>) -> Result<(), Failed> {
    let gets = |looks: &[Look]| -> Vec<TxnOp> {
        let options = || Some(GetOptions::new().with_keys_only());
        looks.iter().map(|look| TxnOp::get(look.key.clone(), options())).collect()
    };
    let answer = session
        .call(operation, |mut link| {
            let txn = Txn::new().and_then(gets(&batch));
            async move { link.kv.txn(txn).await }
        })
        .await?;
    for (look, response) in batch.into_iter().zip(answer.value.op_responses()) {
        let TxnOpResponse::Get(found) = response else { continue };
        let revision = found.kvs().first().map_or(0, etcd_client::KeyValue::create_revision);
        // Who went away needs no answer.
        let _ = look.reply.send(revision);
    }
    Ok(())
}

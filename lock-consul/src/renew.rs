//! Renewing: the session, and a look at the key.

use lock_core::{BackendError, Lease, Operation, Renewal};

use crate::backend::Shared;
use crate::name::Place;
use crate::owners::Mine;

const RENEW: Operation = Operation::Renew;

impl Shared {
    pub(crate) async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        let place = Place::of(&self.prefix, lease.key());
        let Some(slot) = self.owners.known(lease.claim()) else { return Ok(Renewal::Lost) };
        let mut mine = slot.lock().await;
        let Some(held) = mine.held else { return Ok(Renewal::Lost) };
        let found = self.refresh(&place, &mut mine, RENEW).await.map_err(|error| error.with_key(lease.key()))?;
        if let Some(index) = found {
            mine.watch_again(&self.watches, index);
            return Ok(Renewal::Renewed(held.ttl));
        }
        self.kept.forget(lease.key());
        self.discard(&place, lease.owner(), &mut mine).await;
        self.owners.forget(lease.claim());
        Ok(Renewal::Lost)
    }

    /// Renews the session and looks whether the key is still its own: the key's index, `None` when it isn't. Both are
    /// needed: a session can be renewed while it is being ended, and after somebody took the key from it.
    pub(crate) async fn refresh(
        &self,
        place: &Place,
        mine: &mut Mine,
        operation: Operation,
    ) -> Result<Option<u64>, BackendError> {
        let Some(session) = mine.session.as_mut() else { return Ok(None) };
        let id = session.id.clone();
        let (renewed, lock) =
            tokio::join!(self.renew_session(operation, session), self.api.read(operation, &place.lock));
        // Each verdict stands by itself: one that fails must not hide the other's.
        let held = lock.map(|lock| lock.filter(|lock| lock.session() == Some(&*id)));
        if matches!(renewed, Ok(false)) || matches!(held, Ok(None)) {
            return Ok(None);
        }
        renewed?;
        Ok(held?.map(|lock| lock.modify_index))
    }
}

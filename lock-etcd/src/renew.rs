//! `renew`: keeping a lease alive, and seeing that the lock is still ours.

use std::sync::Arc;
use std::time::Instant;

use lock_core::{BackendError, Lease, Operation, Renewal};

use crate::backend::Shared;
use crate::owners::{State, Watch};
use crate::session::IntoError;

const OPERATION: Operation = Operation::Renew;

/// How much of the TTL one request may take: the next endpoint needs its turn before the deadline.
const PART_OF_TTL: u32 = 4;

impl Shared {
    /// A keep-alive speaks of the lease alone, and before 3.4.38, 3.5.23 and 3.6.5 it may even speak well of one that was
    /// revoked. So the key must be watched; where it isn't (yet), it is read.
    pub(crate) async fn renew(self: &Arc<Self>, lease: &Lease) -> Result<Renewal, BackendError> {
        let session = self.session();
        let place = self.place(lease.key(), lease.owner());
        let token = i64::try_from(lease.token().get()).unwrap_or(i64::MAX);
        let known = self.owners.with(lease.owner(), |known| (known.state, matches!(known.watch, Watch::Deleted)));
        match known {
            Some((State::Holding(held), false)) if held == token => {}
            // In the queue, granted something else, or told that its key is gone.
            Some(_) => return Ok(Renewal::Lost),
            None => {}
        }
        let sent = Instant::now();
        let limit = session.limit().min(lease.ttl().get() / PART_OF_TTL);
        let lives = match self.group_of(lease.owner()) {
            Some(group) => {
                let lives = self.extend(&session, OPERATION, &group).await.or_error(OPERATION)?;
                (lives && group.renewed(lease.owner(), sent)).then_some(lease.ttl())
            }
            None => session.keep_alives.renew(&session, OPERATION, place.lease, limit).await.or_error(OPERATION)?,
        };
        let Some(lives) = lives else { return Ok(Renewal::Lost) };
        let watched = self.owners.with(lease.owner(), |known| {
            known.kept_alive = sent;
            matches!(known.watch, Watch::Live(_))
        });
        if watched != Some(true)
            && !session.checks.is(&session, OPERATION, &place.key, token).await.or_error(OPERATION)?
        {
            return Ok(Renewal::Lost);
        }
        Ok(Renewal::Renewed(lives))
    }
}

//! `renew`: keeping a lease alive, and seeing that the lock is still ours.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{BackendError, Lease, Operation, Renewal, Ttl};

use crate::admin::is_of_this_key_alone;
use crate::backend::{Shared, now};
use crate::granting::HangsOn;
use crate::owners::{State, Watch};
use crate::session::{IntoError, Session};

const OPERATION: Operation = Operation::Renew;

/// How much of the TTL one request may take: the next endpoint needs its turn before the deadline.
const PART_OF_TTL: u32 = 4;

impl Shared {
    /// A keep-alive speaks of the lease alone, and before 3.4.38, 3.5.23 and 3.6.5 it may even speak well of one that was
    /// revoked. So the key must be watched; where it isn't (yet), it is read.
    pub(crate) async fn renew(self: &Arc<Self>, lease: &Lease) -> Result<Renewal, BackendError> {
        // What is seldom awaited is boxed: a renewal's future stays small, and there is one for each lock and third of a TTL.
        let session = self.session();
        let token = i64::try_from(lease.token().get()).unwrap_or(i64::MAX);
        let known = self.owners.with(lease.owner(), |known| {
            let is_holder = known.state == State::Holding(token) && !matches!(known.watch, Watch::Deleted);
            (is_holder, matches!(known.watch, Watch::Live(_)), known.hangs_on.clone())
        });
        let Some((is_holder, is_watched, hangs_on)) = known else {
            return Box::pin(self.renew_unknown(&session, lease, token)).await;
        };
        // In the queue, granted something else, or told that its key is gone.
        if !is_holder {
            return Ok(Renewal::Lost);
        }
        let sent = now();
        let lives = match hangs_on {
            HangsOn::Shared(group) => {
                let lives = Box::pin(self.extend(&session, OPERATION, &group)).await.or_error(OPERATION)?;
                (lives && group.renewed(lease.owner(), sent)).then_some(lease.ttl())
            }
            HangsOn::Own(own) | HangsOn::Granting(own) => {
                let limit = session.limit().min(lease.ttl().get() / PART_OF_TTL);
                session.keep_alives.renew(&session, OPERATION, own, limit).await.or_error(OPERATION)?
            }
            HangsOn::Nothing => None,
        };
        let Some(lives) = lives else { return Ok(Renewal::Lost) };
        // Released meanwhile, and asking again, it hangs on another lease.
        self.owners.with(lease.owner(), |known| {
            if known.state == State::Holding(token) {
                known.kept_alive = sent;
            }
        });
        if !is_watched {
            let key = self.place_of(lease.key(), lease.owner()).key;
            if !Box::pin(session.checks.is(&session, OPERATION, &key, token)).await.or_error(OPERATION)? {
                return Ok(Renewal::Lost);
            }
        }
        Ok(Renewal::Renewed(lives))
    }

    /// An owner that this backend knows nothing of: another backend's. Its key tells the lease.
    async fn renew_unknown(
        self: &Arc<Self>,
        session: &Session,
        lease: &Lease,
        token: i64,
    ) -> Result<Renewal, BackendError> {
        let found = self.find(session, OPERATION, lease.key(), lease.owner()).await?;
        let Some((place, _)) = found.filter(|(place, _)| place.create_revision() == token) else {
            return Ok(Renewal::Lost);
        };
        // A lease that others share is kept alive by the process that shares it, and only there.
        if !is_of_this_key_alone(&place) {
            return Ok(Renewal::Lost);
        }
        let lives: Option<Ttl> = self.keep(session, OPERATION, place.lease()).await.or_error(OPERATION)?;
        let asked = lease.ttl().round_up_to(Duration::from_secs(1));
        Ok(lives.filter(|lives| *lives >= asked).map_or(Renewal::Lost, Renewal::Renewed))
    }
}

#[cfg(test)]
mod tests {
    use lock_core::{AcquireRequest, FencingToken, LockKey};

    use super::*;
    use crate::EtcdBackend;

    /// Each is allocated anew, once for each lock and third of its TTL; small ones come from the allocator's cache.
    #[test]
    fn a_renewals_future_is_small() {
        let shared = EtcdBackend::new(["127.0.0.1:1"]).unwrap().shared.clone();
        let request = AcquireRequest::new(LockKey::new("x").unwrap(), Ttl::default());
        let lease = Lease::new(request.claim(), FencingToken::new(1), Ttl::default());
        let size = size_of_val(&shared.renew(&lease));
        assert!(size <= 600, "{size} bytes");
    }
}

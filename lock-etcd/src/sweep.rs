//! Forgetting owners whose release was given up: after a while nothing of theirs can be at the store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lock_core::Timestamp;

use crate::backend::{Shared, now};
use crate::owners::{Owner, State};

/// One acquisition in so many looks for them: what that costs is shared by all.
const EVERY: u32 = 256;

/// So many TTL after its last request all leases of an owner are over: a shared one lives for half a TTL more, and a change
/// of the leader begins it anew.
const TIMES_TTL: u32 = 4;

/// Nor is a request under way for so long.
const AT_LEAST: Duration = Duration::from_secs(120);

impl Shared {
    pub(crate) fn sweep_at_times(&self) {
        if self.acquisitions.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1 {
            self.sweep(now());
        }
    }

    fn sweep(&self, now: Timestamp) {
        let mut leases = Vec::new();
        self.owners.lock().retain(|_, known| {
            let is_left = is_left(known, now);
            if is_left {
                leases.extend(known.hangs_on.own());
            }
            !is_left
        });
        for lease in leases {
            self.leases.forget(lease);
        }
    }
}

/// Neither waits nor holds, and has asked for nothing for a long time.
fn is_left(known: &Owner, now: Timestamp) -> bool {
    let lasts = (known.ttl.get() * TIMES_TTL).max(AT_LEAST);
    known.state == State::Asking && known.asked + lasts < now
}

#[cfg(test)]
mod tests {
    use lock_core::{AcquireRequest, LockBackend as _, LockKey, Ttl};

    use super::*;
    use crate::EtcdBackend;
    use crate::granting::Choice;
    use crate::names::lease_of;

    #[tokio::test]
    async fn owners_whose_release_was_given_up_are_forgotten() {
        let backend = EtcdBackend::new(["127.0.0.1:1"]).unwrap();
        let shared = &backend.shared;
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        let request = AcquireRequest::new(LockKey::new("x").unwrap(), ttl);
        // There is no server: neither has an answer.
        backend.try_acquire(&request).await.unwrap_err();
        let lease = shared.lease_for(&shared.session(), lock_core::Operation::Acquire, &request, ttl).await;
        lease.unwrap_err();
        backend.release(&request.claim()).await.unwrap_err();
        let holder = AcquireRequest::new(LockKey::new("held").unwrap(), ttl);
        shared.owners.sending(&holder, ttl).answered_unless(false);
        shared.owners.with(holder.owner(), |known| known.state = State::Holding(7));
        shared.sweep(now() + AT_LEAST / 2);
        assert!(shared.owners.state(request.owner()).is_some(), "its lease may be there");
        shared.sweep(now() + AT_LEAST * 2);
        assert!(shared.owners.state(request.owner()).is_none());
        assert_eq!(shared.owners.state(holder.owner()), Some(State::Holding(7)));
        let Choice::New(again) = shared.leases.choose(Some(request.owner()), ttl) else { panic!("none is spare") };
        assert_eq!(again, lease_of(request.owner()), "the id is nobody's any more");
    }
}

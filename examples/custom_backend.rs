//! A backend of your own: five calls, and capabilities that say no more than is true.
//!
//! ```text
//! cargo run  --example custom_backend     # two tasks and a lock: the second waits for the first
//! cargo test --example custom_backend     # the conformance kit: one test for each thing users rely on
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lock_core::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Contention, FencingToken, Grant, Lease, LeaseClock,
    LockBackend, LockKey, LockRecord, OwnerId, Release, Renewal, Scope, Supervisor, TokenDurability, WakeUp,
};

/// What the store keeps of a key. A lease that is over stays, so that the next token is greater.
struct Row {
    token: u64,
    holder: LockRecord,
    until: Instant, // By the store's clock, never by a client's.
}

impl Row {
    fn owner(&self) -> Option<OwnerId> {
        self.holder.owner().filter(|_| Instant::now() < self.until)
    }
}

/// The backend; a clone is another client of the same table.
#[derive(Clone, Default)]
struct TableBackend(Arc<Mutex<BTreeMap<LockKey, Row>>>);

impl TableBackend {
    /// An atomic step on one key: elsewhere a script, a transaction, a loop around a compare-and-set.
    fn step<T>(&self, key: &LockKey, step: impl FnOnce(&mut Row) -> T) -> T {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = || Row { token: 0, holder: LockRecord::unknown(key.clone()), until: Instant::now() };
        step(table.entry(key.clone()).or_insert_with(empty))
    }
}

const POLL: Duration = Duration::from_millis(50);

#[lock_core::async_trait]
impl LockBackend for TableBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("table")
            .with_tokens(TokenDurability::Process)
            .with_wake_up(WakeUp::Poll, POLL)
            .with_scope(Scope::Process)
            .with_lease_clock(LeaseClock::Monotonic)
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = self.capabilities().grantable(request.ttl())?;
        Ok(self.step(request.key(), |row| {
            match row.owner() {
                Some(owner) if owner != request.owner() => {
                    let left = row.until.saturating_duration_since(Instant::now());
                    return Attempt::Held(Contention::new(row.holder.clone().with_expires_in(left)));
                }
                Some(_asked_again) => {} // The reply was lost: the same token.
                None => row.token += 1,
            }
            let token = FencingToken::new(row.token);
            let holder = LockRecord::unknown(request.key().clone()).with_grant(request.owner(), token);
            row.holder = holder.with_holder(request.holder()).with_lease(ttl, None);
            row.until = Instant::now() + ttl.get();
            Attempt::Granted(Grant::new(token, ttl))
        }))
    }

    async fn wait(&self, _request: &AcquireRequest, seen: &Contention) -> Result<(), BackendError> {
        tokio::time::sleep(seen.expires_in().map_or(POLL, |left| left.min(POLL))).await;
        Ok(())
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        Ok(self.step(lease.key(), |row| {
            let ours = row.owner() == Some(lease.owner());
            row.until = if ours { Instant::now() + lease.ttl().get() } else { row.until };
            if ours { Renewal::Renewed(lease.ttl()) } else { Renewal::Lost }
        }))
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        Ok(self.step(claim.key(), |row| {
            let ours = row.owner() == Some(claim.owner());
            row.until = if ours { Instant::now() } else { row.until };
            if ours { Release::Released } else { Release::NotHeld }
        }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let locks = Supervisor::new(TableBackend::default());
    let first = locks.lock("a").acquire().await?;
    println!("the first holds token {}", first.fencing_token());
    let second = tokio::spawn(locks.lock("a").acquire());
    first.release().await?;
    println!("the second holds token {}", second.await??.fencing_token());
    Ok(())
}

#[cfg(test)]
#[lock_core::async_trait]
impl lock_core::conformance::Harness for TableBackend {
    async fn client(&self) -> Result<lock_core::conformance::Client, lock_core::conformance::HarnessError> {
        Ok(lock_core::conformance::Client::new(Arc::new(self.clone())))
    }
    fn ttl(&self) -> Duration {
        Duration::from_millis(200)
    }
}
#[cfg(test)]
lock_core::conformance!(|| std::future::ready(Ok::<_, BackendError>(TableBackend::default())));

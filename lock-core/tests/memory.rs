//! The memory store's own promises: its queue, its grace, its clock, its size and speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Attempt, Contention, Grant, Lease, LockAdmin, LockBackend, LockKey, MemoryBackend, Release,
    Renewal, Takeover, Ttl,
};
use tokio::time::{Instant, advance, sleep, timeout};

const TTL: Duration = Duration::from_secs(15);

fn request(key: &str) -> AcquireRequest {
    AcquireRequest::new(LockKey::new(key).unwrap(), Ttl::new(TTL).unwrap())
}

async fn granted(store: &MemoryBackend, request: &AcquireRequest) -> Grant {
    match store.try_acquire(request).await.unwrap() {
        Attempt::Granted(grant) => grant,
        Attempt::Held(seen) => panic!("held by {}", seen.record()),
    }
}

async fn refused(store: &MemoryBackend, request: &AcquireRequest) -> Contention {
    match store.try_acquire(request).await.unwrap() {
        Attempt::Held(seen) => seen,
        Attempt::Granted(grant) => panic!("granted with token {}", grant.token()),
    }
}

/// Tries and waits in turn, and tells when the lock was granted.
fn acquiring(store: &MemoryBackend, request: &AcquireRequest) -> tokio::task::JoinHandle<Instant> {
    let (store, request) = (store.clone(), request.clone());
    tokio::spawn(async move {
        while let Attempt::Held(seen) = store.try_acquire(&request).await.unwrap() {
            store.wait(&request, &seen).await.unwrap();
        }
        Instant::now()
    })
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_at_its_ttl_and_not_a_millisecond_before() {
    let store = MemoryBackend::new();
    let (first, second) = (request("a"), request("a"));
    let grant = granted(&store, &first).await;
    let moment = Duration::from_millis(1);
    advance(TTL.saturating_sub(moment)).await;
    refused(&store, &second).await;
    advance(moment).await;
    assert_eq!(store.inspect(first.key()).await.unwrap(), None);
    let lease = Lease::new(first.claim(), grant.token(), grant.ttl());
    assert_eq!(store.renew(&lease).await.unwrap(), Renewal::Lost);
    assert_eq!(granted(&store, &second).await.takeover(), Takeover::Expired);
    assert_eq!(store.release(&first.claim()).await.unwrap(), Release::NotHeld);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_wakes_at_the_expiry_and_not_at_an_outdated_one() {
    let store = MemoryBackend::new();
    let holder = request("a");
    let grant = granted(&store, &holder).await;
    let start = Instant::now();
    let waiter = acquiring(&store, &request("a"));
    sleep(TTL / 3).await;
    store.renew(&Lease::new(holder.claim(), grant.token(), grant.ttl())).await.unwrap();
    let lasted = waiter.await.unwrap() - start;
    assert!(lasted >= TTL + TTL / 3 && lasted < TTL + TTL / 3 + Duration::from_millis(5), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_woken_and_never_comes_passes_the_lock_on() {
    let store = MemoryBackend::new();
    let (holder, absent, next) = (request("a"), request("a"), request("a"));
    granted(&store, &holder).await;
    let seen = refused(&store, &absent).await;
    let absent_waits = {
        let (store, absent) = (store.clone(), absent.clone());
        tokio::spawn(async move { store.wait(&absent, &seen).await })
    };
    sleep(Duration::from_millis(1)).await;
    let waiter = acquiring(&store, &next);
    sleep(Duration::from_millis(1)).await;
    store.release(&holder.claim()).await.unwrap();
    let start = Instant::now();
    absent_waits.await.unwrap().unwrap();
    // Meanwhile it is kept for the absent one alone, and nobody holds it.
    refused(&store, &request("a")).await;
    assert_eq!(store.inspect(holder.key()).await.unwrap(), None);
    assert!(waiter.await.unwrap() - start <= Duration::from_millis(101));
    refused(&store, &absent).await;
}

#[tokio::test(start_paused = true)]
async fn many_waiters_that_vanished_cost_one_grace_together() {
    let store = MemoryBackend::new();
    let holder = request("a");
    granted(&store, &holder).await;
    for _ in 0..50 {
        let gone = request("a");
        let seen = refused(&store, &gone).await;
        assert!(timeout(Duration::from_millis(1), store.wait(&gone, &seen)).await.is_err());
    }
    let waiter = acquiring(&store, &request("a"));
    sleep(Duration::from_millis(10)).await;
    let start = Instant::now();
    store.release(&holder.claim()).await.unwrap();
    assert!(waiter.await.unwrap() - start <= Duration::from_millis(210));
}

#[tokio::test(start_paused = true)]
async fn a_release_wakes_one_waiter_and_not_the_herd() {
    let store = MemoryBackend::new();
    let holder = request("a");
    granted(&store, &holder).await;
    let returned = Arc::new(AtomicU32::new(0));
    for _ in 0..100 {
        let (store, request, returned) = (store.clone(), request("a"), returned.clone());
        tokio::spawn(async move {
            let seen = refused(&store, &request).await;
            store.wait(&request, &seen).await.unwrap();
            returned.fetch_add(1, Ordering::Relaxed);
            granted(&store, &request).await;
        });
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(refused(&store, &request("a")).await.waiters(), Some(100));
    store.release(&holder.claim()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(returned.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_granted_anew_after_its_expiry_renews_its_new_lease_only() {
    let store = MemoryBackend::new();
    let owner = request("a");
    let old = granted(&store, &owner).await;
    advance(TTL).await;
    let new = granted(&store, &owner).await;
    assert!(new.token() > old.token());
    let renew = async |grant: Grant| store.renew(&Lease::new(owner.claim(), grant.token(), grant.ttl())).await.unwrap();
    assert_eq!(renew(old).await, Renewal::Lost);
    assert!(matches!(renew(new).await, Renewal::Renewed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_for_a_shorter_ttl_shortens_no_lease_on_which_waiters_rely() {
    let store = MemoryBackend::new();
    let holder = request("a");
    let grant = granted(&store, &holder).await;
    let short = Ttl::new(Duration::from_secs(1)).unwrap();
    store.renew(&Lease::new(holder.claim(), grant.token(), short)).await.unwrap();
    let left = store.inspect(holder.key()).await.unwrap().and_then(|record| record.expires_in());
    assert_eq!(left, Some(TTL));
}

#[tokio::test]
async fn stores_are_strangers_and_clones_are_clients_of_one() {
    let (store, other) = (MemoryBackend::new(), MemoryBackend::new());
    granted(&store, &request("a")).await;
    refused(&store.clone(), &request("a")).await;
    granted(&other, &request("a")).await;
}

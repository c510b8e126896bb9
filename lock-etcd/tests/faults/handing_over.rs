//! The release of a holder that stood in the queue tells the next one, by one event, that the lock is its.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{AcquireRequest, Grant, LockBackend, Release};
use lock_etcd::EtcdBackend;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{Bed, granted, request, seconds, until, waiter};

/// A holder that waited for its turn.
async fn lined_up(bed: &Bed, name: &str) -> (Arc<EtcdBackend>, AcquireRequest) {
    let (first, client) = (bed.client(), Arc::new(bed.client()));
    let (held, waits) = (request(name, 60), request(name, 60));
    granted(&first, &held).await;
    let waiting = waiter(&client, &waits);
    until("it waits", async || bed.queue(name).len() == 2).await;
    sleep(Duration::from_millis(100)).await;
    first.release(&held.claim()).await.unwrap();
    timeout(seconds(2), waiting).await.expect("served").unwrap().unwrap();
    (client, waits)
}

type Waiting = JoinHandle<Result<Grant, lock_core::BackendError>>;

/// Waiters with clients of their own, one behind the other, their watches in place.
async fn waiters(bed: &Bed, name: &str, count: usize) -> Vec<(Waiting, Arc<EtcdBackend>, AcquireRequest)> {
    let mut waiters = Vec::new();
    for n in 0..count {
        let (client, request) = (Arc::new(bed.client()), request(name, 60));
        waiters.push((waiter(&client, &request), client, request));
        until("it waits", async || bed.queue(name).len() == n + 2).await;
    }
    sleep(Duration::from_millis(200)).await;
    waiters
}

#[tokio::test]
async fn who_is_next_is_granted_the_lock_without_a_request() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (holder, held) = lined_up(&bed, "over").await;
    let (client, waits) = (Arc::new(bed.behind(&proxy)), request("over", 60));
    let waiting = waiter(&client, &waits);
    until("it waits", async || bed.queue("over").len() == 2).await;
    sleep(Duration::from_millis(500)).await;
    // Whatever it asks from now on comes too late.
    proxy.hold_requests();
    assert_eq!(holder.release(&held.claim()).await.unwrap(), Release::Released);
    let grant = timeout(seconds(1), waiting).await.expect("no request is needed").unwrap().unwrap();
    // Its lease was kept alive when it lined up, not just now.
    assert!(grant.lives() + Duration::from_millis(500) <= grant.ttl().get(), "{:?}", grant.lives());
    proxy.heal();
    assert_eq!(client.release(&waits.claim()).await.unwrap(), Release::Released);
    assert!(bed.queue("over").is_empty());
}

/// It lined up with a lease of which nobody had heard for a while, and that counts, not when it lined up.
#[tokio::test]
async fn who_lined_up_with_a_spare_lease_is_granted_what_is_left_of_it() {
    let bed = Bed::new();
    let (holder, held) = lined_up(&bed, "young").await;
    let (client, warm, waits) = (Arc::new(bed.client()), request("warm", 60), request("young", 60));
    granted(&client, &warm).await;
    sleep(Duration::from_millis(500)).await;
    client.release(&warm.claim()).await.unwrap();
    let waiting = waiter(&client, &waits);
    until("it waits", async || bed.queue("young").len() == 2).await;
    sleep(Duration::from_millis(500)).await;
    holder.release(&held.claim()).await.unwrap();
    let grant = timeout(seconds(1), waiting).await.expect("served").unwrap().unwrap();
    assert!(grant.lives() + seconds(1) <= grant.ttl().get(), "{:?}", grant.lives());
}

/// It was known to be next before it was gone.
#[tokio::test]
async fn release_finds_its_successor_gone_and_the_one_after_is_served() {
    let bed = Bed::new();
    let (first, client) = (bed.client(), Arc::new(bed.client()));
    let (held, waits) = (request("gone", 60), request("gone", 60));
    granted(&first, &held).await;
    let waiting = waiter(&client, &waits);
    until("it waits", async || bed.queue("gone").len() == 2).await;
    let mut behind = Vec::new();
    for n in 0..2 {
        let (client, request) = (Arc::new(bed.client()), request("gone", 60));
        behind.push((waiter(&client, &request), client, request));
        until("it waits", async || bed.queue("gone").len() == n + 3).await;
    }
    first.release(&held.claim()).await.unwrap();
    timeout(seconds(2), waiting).await.expect("served").unwrap().unwrap();
    // It looks who is next as soon as it holds the lock.
    sleep(Duration::from_millis(300)).await;
    bed.revoke("gone", 1);
    assert_eq!(client.release(&waits.claim()).await.unwrap(), Release::Released);
    let (last, ..) = behind.pop().unwrap();
    timeout(seconds(2), last).await.expect("served").unwrap().unwrap();
    assert!(behind.pop().unwrap().0.await.unwrap().is_err(), "the one that was gone was told");
    assert_eq!(bed.queue("gone").len(), 1);
}

/// Only the touch in the very revision in which the one before goes tells anything: not an operator's, and not that of the
/// one before when another stands in front of it.
#[tokio::test]
async fn waiter_that_somebody_touched_is_not_granted_the_lock() {
    let bed = Bed::new();
    let (_holder, _held) = lined_up(&bed, "touched").await;
    let mut waiters = waiters(&bed, "touched", 2).await;
    let place = bed.queue("touched").swap_remove(2);
    bed.ctl().run(&["put", &place, "--ignore-value", "--ignore-lease"]).unwrap();
    sleep(Duration::from_millis(200)).await;
    bed.revoke("touched", 1);
    sleep(Duration::from_millis(500)).await;
    let (last, ..) = waiters.pop().unwrap();
    assert!(!last.is_finished(), "granted while another holds the lock");
    assert_eq!(bed.queue("touched").len(), 2);
}

/// Who lined up only after the holder had looked is found by the release.
#[tokio::test]
async fn late_successor_is_told_as_well() {
    let bed = Bed::new();
    let (holder, held) = lined_up(&bed, "late").await;
    sleep(Duration::from_millis(300)).await;
    let mut waiters = waiters(&bed, "late", 1).await;
    let (waiting, ..) = waiters.pop().unwrap();
    assert_eq!(holder.release(&held.claim()).await.unwrap(), Release::Released);
    let grant = timeout(seconds(2), waiting).await.expect("served").unwrap().unwrap();
    assert!(grant.lives() < grant.ttl().get(), "it asked");
}

/// The touch of the next one's key is a put, which such a server refuses.
#[tokio::test]
async fn fault_42_server_out_of_space_frees_a_lock_that_somebody_stands_behind() {
    let bed = Bed::of_little_space();
    let (holder, held) = lined_up(&bed, "full").await;
    let mut waiters = waiters(&bed, "full", 1).await;
    bed.fill();
    assert_eq!(holder.release(&held.claim()).await.unwrap(), Release::Released);
    let (waiting, client, waits) = waiters.pop().unwrap();
    timeout(seconds(2), waiting).await.expect("served").unwrap().unwrap();
    assert_eq!(client.release(&waits.claim()).await.unwrap(), Release::Released);
}

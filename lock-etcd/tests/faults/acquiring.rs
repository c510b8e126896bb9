//! Faults while a lock is acquired.

use std::time::{Duration, Instant};

use lock_core::{AcquireError, ErrorKind, Lease, LockAdmin, LockBackend, Outcome, Release, Renewal, Supervisor};
use lock_etcd::EtcdBackend;
use testbed::proxy::Trap;
use tokio::time::timeout;

use crate::support::{Bed, granted, is_held, request, seconds, until};

#[tokio::test]
async fn fault_01_partition_before_the_request_is_unavailable_and_nothing_is_held() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let client = bed.behind(&proxy);
    proxy.refuse();
    let error = client.try_acquire(&request("x", 60)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    proxy.heal();
    let proxy = bed.proxy();
    proxy.blackhole();
    let began = Instant::now();
    let error = bed.behind(&proxy).try_acquire(&request("x", 60)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(began.elapsed() < seconds(3), "{:?}", began.elapsed());
    proxy.cut();
    assert!(!is_held(&bed.client(), "x").await);
}

#[tokio::test]
async fn fault_02_reply_lost_and_the_same_owner_gets_the_same_token() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (client, other) = (bed.behind(&proxy), bed.client());
    let request = request("reply", 60);
    proxy.cut_after_request_containing(request.owner().to_string());
    let error = client.try_acquire(&request).await.unwrap_err();
    assert!(error.is_transient() && error.outcome() == Outcome::Unknown, "{error:?}");
    proxy.until(|counters| counters.fired == 1).await;
    let stored = other.inspect(request.key()).await.unwrap().expect("it was applied");
    let grant = granted(&client, &request).await;
    assert_eq!(stored.token(), Some(grant.token()));
    assert_eq!(stored.owner(), Some(request.owner()));
    assert_eq!(client.release(&request.claim()).await.unwrap(), Release::Released);
    assert!(!is_held(&other, "reply").await);
}

#[tokio::test]
async fn fault_03_no_retry_succeeds_and_the_error_says_that_it_may_be_held() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let locks = Supervisor::new(bed.behind(&proxy));
    // The request that writes; one that only reads says nothing of who acquires.
    proxy.set(Trap::on_request_containing(b"doubt/").and(b"acquired_at").cut_after().then_refuse());
    let error = locks.lock("doubt").ttl(seconds(60)).try_acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Ambiguous(_)), "{error:?}");
    assert!(is_held(&bed.client(), "doubt").await, "it was applied");
    proxy.heal();
    // Released in the background, long before its TTL.
    let other = bed.client();
    until("the clean-up frees the lock", async || !is_held(&other, "doubt").await).await;
}

/// The request is kept on its way, and arrives when its owner has long released, and another held the lock.
async fn comes_late(shared: bool) {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let builder = EtcdBackend::builder([proxy.address().to_string()]).with_prefix(&bed.prefix);
    let client = if shared { builder.with_shared_leases() } else { builder }.build().unwrap();
    let other = bed.client();
    granted(&client, &request("warm", 60)).await;
    let (late, next) = (request("late", 60), request("late", 60));
    proxy.deliver_late_request_containing(late.owner().to_string());
    client.try_acquire(&late).await.unwrap_err();
    assert_eq!(proxy.counters().kept, 1);
    assert_eq!(client.release(&late.claim()).await.unwrap(), Release::NotHeld);
    granted(&other, &next).await;
    assert_eq!(other.release(&next.claim()).await.unwrap(), Release::Released);
    proxy.deliver_late();
    assert!(bed.queue("late").is_empty(), "{:?}", bed.queue("late"));
    granted(&other, &request("late", 60)).await;
}

#[tokio::test]
async fn fault_05_abandoned_acquire_that_comes_late_is_rejected() {
    comes_late(false).await;
}

#[tokio::test]
async fn fault_05_abandoned_acquire_that_comes_late_is_rejected_though_its_lease_is_shared() {
    comes_late(true).await;
}

/// The lease of an owner whose request has no answer must not serve the next.
#[tokio::test]
async fn fault_05_lease_named_by_a_lost_request_serves_nobody_else() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (client, other) = (bed.behind(&proxy), bed.client());
    let (late, next) = (request("late", 60), request("next", 60));
    proxy.deliver_late_request_containing(late.owner().to_string());
    client.try_acquire(&late).await.unwrap_err();
    client.release(&late.claim()).await.unwrap();
    granted(&client, &next).await;
    proxy.deliver_late();
    assert!(bed.queue("late").is_empty(), "{:?}", bed.queue("late"));
    granted(&other, &request("late", 60)).await;
}

#[tokio::test]
async fn fault_05_place_in_the_queue_that_comes_late_is_rejected() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (client, other) = (bed.behind(&proxy), bed.client());
    let (held, late) = (request("late", 60), request("late", 60));
    granted(&other, &held).await;
    let lock_core::Attempt::Held(seen) = client.try_acquire(&late).await.unwrap() else { panic!("it is held") };
    proxy.deliver_late_request_containing(late.owner().to_string());
    client.wait(&late, &seen).await.unwrap_err();
    assert_eq!(proxy.counters().kept, 1);
    assert_eq!(client.release(&late.claim()).await.unwrap(), Release::NotHeld);
    proxy.deliver_late();
    assert_eq!(bed.queue("late").len(), 1);
}

/// The first endpoint's answer is lost and its request kept, the second says that the lock is held.
async fn refused_elsewhere_comes_late(shared: bool) {
    let bed = Bed::new();
    let (first, second) = (bed.proxy(), bed.proxy());
    let endpoints = [first.address().to_string(), second.address().to_string()];
    let builder = EtcdBackend::builder(endpoints).with_prefix(&bed.prefix);
    let client = if shared { builder.with_shared_leases() } else { builder }.build().unwrap();
    let (warm, other) = (request("warm", 60), bed.client());
    granted(&client, &warm).await;
    client.release(&warm.claim()).await.unwrap();
    let (held, late) = (request("late", 60), request("late", 60));
    granted(&other, &held).await;
    first.deliver_late_request_containing(late.owner().to_string());
    let error = client.try_acquire(&late).await.expect_err("\"held\" would say that nothing is left");
    assert!(error.is_transient() && error.outcome() == Outcome::Unknown, "{error:?}");
    assert_eq!(first.counters().kept, 1);
    assert!(matches!(client.try_acquire(&late).await.unwrap(), lock_core::Attempt::Held(_)));
    assert_eq!(client.release(&late.claim()).await.unwrap(), Release::NotHeld);
    other.release(&held.claim()).await.unwrap();
    first.deliver_late();
    assert!(bed.queue("late").is_empty(), "{:?}", bed.queue("late"));
}

#[tokio::test]
async fn fault_05_try_refused_by_another_endpoint_is_rejected_when_it_comes_late() {
    refused_elsewhere_comes_late(false).await;
}

#[tokio::test]
async fn fault_05_try_refused_by_another_endpoint_is_rejected_when_it_comes_late_though_its_lease_is_shared() {
    refused_elsewhere_comes_late(true).await;
}

/// Both requests of the release are answered "not there", and the first answer is lost. That can have been the deletion
/// of a holder's key, and nothing for an owner that never had one.
#[tokio::test]
async fn only_a_holder_is_told_that_it_freed_the_lock_when_an_answer_is_lost() {
    let bed = Bed::new();
    let (first, second) = (bed.proxy(), bed.proxy());
    let endpoints = [first.address().to_string(), second.address().to_string()];
    let client = EtcdBackend::builder(endpoints).with_prefix(&bed.prefix).build().unwrap();
    let (held, never) = (request("held", 60), request("never", 60));
    granted(&client, &held).await;
    first.cut_after_request_containing("held/");
    assert_eq!(client.release(&held.claim()).await.unwrap(), Release::Released);
    assert_eq!(first.counters().fired, 1);
    // The second endpoint is asked first now. Neither gets this request.
    for proxy in [&first, &second] {
        proxy.cut_before_request_containing(never.owner().to_string());
    }
    client.try_acquire(&never).await.unwrap_err();
    second.cut_after_request_containing("never/");
    assert_eq!(client.release(&never.claim()).await.unwrap(), Release::NotHeld);
    assert_eq!((first.counters().fired, second.counters().fired), (2, 2));
}

/// The first endpoint takes a release and is slow, the second does it. The lease, and with it the key's name, serves the
/// next lock by the time that the first comes round to it.
#[tokio::test]
async fn fault_05_release_that_comes_late_takes_nothing_from_the_next_lock() {
    let bed = Bed::new();
    let (first, second) = (bed.proxy(), bed.proxy());
    let endpoints = [first.address().to_string(), second.address().to_string()];
    let client = EtcdBackend::builder(endpoints).with_prefix(&bed.prefix).build().unwrap();
    let (one, next) = (request("late", 60), request("late", 60));
    granted(&client, &one).await;
    let key = bed.queue("late");
    first.deliver_late_request_containing("late/");
    assert_eq!(client.release(&one.claim()).await.unwrap(), Release::Released);
    assert_eq!(first.counters().kept, 1);
    let grant = granted(&client, &next).await;
    assert_eq!(bed.queue("late"), key, "the lease serves again");
    first.deliver_late();
    assert_eq!(bed.queue("late"), key, "the late release took the next lock away");
    let lease = Lease::new(next.claim(), grant.token(), grant.ttl());
    assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
}

/// A lease that was given back serves the next lock, and goes with it: not the one before.
#[tokio::test]
async fn lease_that_serves_the_next_lock_is_not_revoked_by_a_second_release() {
    let bed = Bed::new();
    let client = bed.client();
    let (first, second) = (request("first", 60), request("second", 60));
    granted(&client, &first).await;
    client.release(&first.claim()).await.unwrap();
    let grant = granted(&client, &second).await;
    assert_eq!(client.release(&first.claim()).await.unwrap(), Release::NotHeld);
    // The first owner asks again, and is granted another lease than the one that serves the second.
    let again = granted(&client, &first).await;
    assert_ne!(again.token(), grant.token());
    client.release(&first.claim()).await.unwrap();
    let lease = Lease::new(second.claim(), grant.token(), grant.ttl());
    assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
    assert_eq!(bed.queue("second").len(), 1);
}

/// A lease that lay idle for half of its TTL is granted again for a whole one.
#[tokio::test]
async fn spare_lease_is_kept_alive_for_a_whole_ttl() {
    let bed = Bed::new();
    let client = bed.client();
    let first = request("idle", 4);
    granted(&client, &first).await;
    client.release(&first.claim()).await.unwrap();
    tokio::time::sleep(seconds(2)).await;
    let asked = Instant::now();
    let grant = granted(&client, &request("idle", 4)).await;
    let other = bed.client();
    while is_held(&other, "idle").await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked.elapsed() >= grant.ttl().get(), "granted for {}, and over after {:?}", grant.ttl(), asked.elapsed());
}

/// One that was kept alive a moment ago needs no keep-alive. Then the grant says how long it lives.
#[tokio::test]
async fn spare_lease_that_is_young_is_used_as_it_is() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let client = bed.behind(&proxy);
    let first = request("young", 60);
    granted(&client, &first).await;
    let kept_alive = Instant::now();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.release(&first.claim()).await.unwrap();
    let (before, age) = (proxy.counters().requests, kept_alive.elapsed());
    let grant = granted(&client, &request("young", 60)).await;
    assert_eq!(proxy.counters().requests - before, 1, "requests of an acquire");
    assert!(grant.lives() + age <= grant.ttl().get(), "{:?}, {age:?} after it was kept alive", grant.lives());
}

/// A spare lease that was revoked meanwhile is replaced, and grants nothing.
#[tokio::test]
async fn spare_lease_that_is_over_is_replaced() {
    let bed = Bed::new();
    let client = bed.client();
    for _ in 0..3 {
        let first = request("spare", 60);
        granted(&client, &first).await;
        let key = bed.queue("spare").remove(0);
        client.release(&first.claim()).await.unwrap();
        bed.ctl().run(&["lease", "revoke", key.rsplit('/').next().unwrap()]).unwrap();
        let second = request("spare", 60);
        let grant = granted(&client, &second).await;
        let lease = Lease::new(second.claim(), grant.token(), grant.ttl());
        assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
        client.release(&second.claim()).await.unwrap();
    }
}

#[test]
fn fault_06_guard_dropped_outside_a_runtime_does_no_harm() {
    let bed = Bed::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let locks = bed.locks();
    let guard = runtime.block_on(locks.lock("outlives").ttl(seconds(2)).acquire()).unwrap();
    drop(runtime);
    drop(guard);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The backend makes itself new connections on another runtime.
    runtime.block_on(async {
        drop(timeout(seconds(6), locks.lock("outlives").acquire()).await.unwrap().unwrap());
    });
}

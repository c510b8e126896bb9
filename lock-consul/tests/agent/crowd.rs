//! Crowds: a thousand who wait, and few connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lock_consul::ConsulBackend;
use lock_core::{AcquireRequest, Attempt, LockBackend, Outcome};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{Store, acquire, granted, request, until_waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_51_a_thousand_waiters_share_eight_connections() {
    const WAITERS: usize = 1_000;
    let store = Store::new();
    let (holder, waiter) = (store.direct(), store.through_proxy());
    let mut held = Vec::new();
    for lock in 0..WAITERS {
        // A long TTL: nothing has to be renewed while the requests are counted.
        let request = long(&format!("lock-{lock}"));
        granted(&holder, &request).await;
        held.push(request);
    }
    let mut waiting = JoinSet::new();
    for lock in 0..WAITERS {
        let waiter = waiter.clone();
        waiting.spawn(async move { patiently(&waiter, &long(&format!("lock-{lock}"))).await });
    }
    for lock in [0, WAITERS - 1] {
        until_waiting(&holder, &format!("lock-{lock}"), 1).await;
    }
    sleep(Duration::from_secs(3)).await;
    let before = store.proxy.counters();
    sleep(Duration::from_secs(5)).await;
    let after = store.proxy.counters();
    println!("{} connections, {} requests in 5 s of nothing", after.open, after.requests - before.requests);
    assert!(after.open <= 8, "{} connections", after.open);
    // Each looks at its lock after the fallback, in case news were lost.
    assert!(after.requests - before.requests <= 3 * WAITERS as u64, "{}", after.requests - before.requests);
    for request in &held {
        holder.release(&request.claim()).await.unwrap();
    }
    let all = async {
        while let Some(end) = waiting.join_next().await {
            end.unwrap();
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("all are served");
    assert!(store.proxy.counters().open <= 8);
}

/// Calls that are given up leave no connection behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_51_calls_that_are_given_up_open_no_connections() {
    let store = Store::new();
    let backend = store.through_proxy();
    granted(&store.direct(), &request("held")).await;
    store.proxy.delay_replies(Duration::from_millis(5));
    for round in 0..200 {
        let own = request("held");
        let _ = timeout(Duration::from_millis(round % 8), backend.try_acquire(&own)).await;
    }
    let counters = store.proxy.counters();
    assert!(counters.accepted <= 8, "{counters:?}");
}

/// Each name has less in common with those before, so that each watch must be given up for a wider one.
#[tokio::test]
async fn fault_51_watches_that_are_outgrown_open_no_connections() {
    let store = Store::new();
    let (holder, waiter) = (store.direct(), store.through_proxy());
    let names: Vec<_> = (1..=24).rev().map(|length| format!("{}-", "x".repeat(length))).collect();
    let mut waiting = JoinSet::new();
    for name in &names {
        granted(&holder, &long(name)).await;
        let (waiter, own) = (waiter.clone(), long(name));
        waiting.spawn(async move { acquire(&waiter, &own).await });
        until_waiting(&holder, name, 1).await;
        let open = store.proxy.counters().open;
        assert!(open <= 8, "{open} connections at {name}");
    }
}

/// As the supervisor: on a busy host, a thousand who ask at once may not all have their turn in time.
async fn patiently(backend: &ConsulBackend, request: &AcquireRequest) {
    loop {
        let answer = match backend.try_acquire(request).await {
            Ok(Attempt::Granted(_)) => return,
            Ok(Attempt::Held(seen)) => backend.wait(request, &seen).await,
            Err(error) => Err(error),
        };
        if let Err(error) = answer {
            assert_eq!((error.is_transient(), error.outcome()), (true, Outcome::NotApplied), "{error}");
        }
    }
}

fn long(name: &str) -> AcquireRequest {
    let ttl = lock_core::Ttl::new(Duration::from_secs(600)).unwrap();
    AcquireRequest::new(lock_core::LockKey::new(name).unwrap(), ttl)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_51_a_hundred_waiters_for_one_lock_are_served_in_order() {
    let store = Store::new();
    let (holder, waiter) = (store.direct(), store.through_proxy());
    let first = request("a");
    granted(&holder, &first).await;
    let (served, mut waiting) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for number in 0..100 {
        let (backend, served, own) = (waiter.clone(), served.clone(), request("a"));
        waiting.spawn(async move {
            acquire(&backend, &own).await;
            let place = served.fetch_add(1, Ordering::SeqCst);
            backend.release(&own.claim()).await.unwrap();
            assert_eq!(place, number, "overtaken");
        });
        until_waiting(&holder, "a", number as u64 + 1).await;
    }
    assert!(store.proxy.counters().open <= 8);
    holder.release(&first.claim()).await.unwrap();
    let all = async {
        while let Some(end) = waiting.join_next().await {
            end.unwrap();
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("all are served");
    assert_eq!(store.keys(), [store.path("a/.lock")], "nothing but the lock is left");
}

//! Many who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lock_core::LockBackend;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{Store, acquire, agent, granted, request, until_waiting};

const SOON: Duration = Duration::from_secs(8);

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
        waiting.spawn(async move { acquire(&waiter, &long(&format!("lock-{lock}"))).await });
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
    let all = async { while waiting.join_next().await.is_some() {} };
    timeout(Duration::from_secs(60), all).await.expect("all are served");
    assert!(store.proxy.counters().open <= 8);
}

fn long(name: &str) -> lock_core::AcquireRequest {
    let ttl = lock_core::Ttl::new(Duration::from_secs(600)).unwrap();
    lock_core::AcquireRequest::new(lock_core::LockKey::new(name).unwrap(), ttl)
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

#[tokio::test]
async fn a_dead_waiter_in_the_middle_blocks_nobody() {
    let store = Store::new();
    let (holder, backend) = (store.direct(), store.direct());
    let (first, last) = (request("a"), request("a"));
    granted(&holder, &first).await;
    let dead = tokio::spawn({
        let backend = store.direct();
        async move { acquire(&backend, &request("a")).await }
    });
    until_waiting(&holder, "a", 1).await;
    let place = store.keys().into_iter().find(|key| key.contains(".queue")).unwrap();
    let session = store.entry(place.strip_prefix(&store.prefix).unwrap()).unwrap()["Session"].clone();
    let waiting = tokio::spawn(async move { acquire(&backend, &last).await });
    until_waiting(&holder, "a", 2).await;
    dead.abort();
    store.destroy(session.as_str().unwrap());
    until_waiting(&holder, "a", 1).await;
    holder.release(&first.claim()).await.unwrap();
    timeout(Duration::from_secs(2), waiting).await.expect("told of the release").unwrap();
}

/// A waiter that loses its session waits on, at the end of the queue.
#[tokio::test]
async fn a_waiter_whose_session_ended_takes_a_new_place() {
    let store = Store::new();
    let holder = store.direct();
    let first = request("a");
    granted(&holder, &first).await;
    let waiting = tokio::spawn({
        let backend = store.direct();
        async move { acquire(&backend, &request("a")).await }
    });
    until_waiting(&holder, "a", 1).await;
    let place = store.keys().into_iter().find(|key| key.contains(".queue")).unwrap();
    let session = store.entry(place.strip_prefix(&store.prefix).unwrap()).unwrap()["Session"].clone();
    store.destroy(session.as_str().unwrap());
    until_waiting(&holder, "a", 1).await;
    holder.release(&first.claim()).await.unwrap();
    timeout(SOON, waiting).await.expect("served").unwrap();
}

/// A restore from a snapshot takes the indexes of all keys back, and the places of those who came since.
#[tokio::test]
async fn fault_50_indexes_that_go_backwards_leave_no_waiter_behind() {
    let agent = testbed::consul::Agent::dev().unwrap();
    let backend = || lock_consul::ConsulBackend::new(agent.address()).unwrap();
    let (holder, waiter, other) = (backend(), backend(), backend());
    let (first, second) = (request("a"), request("b"));
    granted(&holder, &first).await;
    granted(&holder, &second).await;
    let snapshot = tempfile::tempdir().unwrap();
    let file = snapshot.path().join("snapshot");
    let consul = |what: &str| agent.command().unwrap().args(["snapshot", what]).arg(&file).status().unwrap();
    assert!(consul("save").success());
    for _ in 0..50 {
        agent.tell("PUT", "/v1/kv/noise", "x").unwrap();
    }
    let waiting: Vec<_> = ["a", "b"]
        .map(|name| {
            let waiter = waiter.clone();
            tokio::spawn(async move { acquire(&waiter, &request(name)).await })
        })
        .into();
    until_waiting(&other, "a", 1).await;
    until_waiting(&other, "b", 1).await;
    assert!(consul("restore").success());
    holder.release(&first.claim()).await.unwrap();
    holder.release(&second.claim()).await.unwrap();
    for waiting in waiting {
        timeout(Duration::from_secs(25), waiting).await.expect("served").unwrap();
    }
}

#[tokio::test]
async fn waiting_survives_the_agents_restart_of_connections() {
    let store = Store::new();
    let holder = store.direct();
    let first = request("a");
    granted(&holder, &first).await;
    let waiting = tokio::spawn({
        let backend = store.through_proxy();
        async move { acquire(&backend, &request("a")).await }
    });
    until_waiting(&holder, "a", 1).await;
    store.proxy.reset();
    sleep(Duration::from_millis(300)).await;
    holder.release(&first.claim()).await.unwrap();
    timeout(Duration::from_secs(3), waiting).await.expect("the watch began anew").unwrap();
    assert!(agent().ask("GET", "/v1/status/leader", "").unwrap().status == 200);
}

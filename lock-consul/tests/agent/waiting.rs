//! Many who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lock_core::{LockAdmin, LockBackend};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::slow;
use crate::support::{Store, acquire, agent, destroy, granted, refused, request, until_waiting};

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

/// The first in the queue isn't quick: it is between two waits when the lock becomes free.
#[tokio::test]
async fn a_newcomer_does_not_overtake() {
    let store = Store::new();
    let (first, second, newcomer) = (request("a"), request("a"), request("a"));
    let (holder, waiter, other) = (store.direct(), store.direct(), store.direct());
    granted(&holder, &first).await;
    let seen = refused(&waiter, &second).await;
    assert!(timeout(Duration::from_millis(500), waiter.wait(&second, &seen)).await.is_err());
    holder.release(&first.claim()).await.unwrap();
    let kept = refused(&other, &newcomer).await;
    assert_eq!((kept.waiters(), kept.record().token()), (Some(1), None), "kept for the first who waits");
    assert_eq!(kept.record().pid(), Some(std::process::id()));
    granted(&waiter, &second).await;
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
    destroy(session.as_str().unwrap());
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
    destroy(session.as_str().unwrap());
    until_waiting(&holder, "a", 1).await;
    holder.release(&first.claim()).await.unwrap();
    timeout(SOON, waiting).await.expect("served").unwrap();
}

/// The place itself is shut for the lock-delay.
#[test]
fn a_waiter_whose_session_ended_is_patient_with_its_place() {
    slow::end_of("patience");
}

pub(crate) async fn patience() {
    let store = Store::new();
    let holder = store.direct();
    let first = request("a");
    granted(&holder, &first).await;
    let waiting = tokio::spawn({
        let backend = store.settings_through_proxy().lock_delay(Duration::from_secs(6)).build().unwrap();
        async move { acquire(&backend, &request("a")).await }
    });
    until_waiting(&holder, "a", 1).await;
    let place = store.keys().into_iter().find(|key| key.contains(".queue")).unwrap();
    let session = store.entry(place.strip_prefix(&store.prefix).unwrap()).unwrap()["Session"].clone();
    destroy(session.as_str().unwrap());
    // Its next renewal tells it.
    until_waiting(&holder, "a", 0).await;
    until_waiting(&holder, "a", 1).await;
    holder.release(&first.claim()).await.unwrap();
    timeout(SOON, waiting).await.expect("served").unwrap();
}

/// What one process remembers of a lock must not make it refuse what another has let go since.
#[tokio::test]
async fn a_lock_that_others_let_go_is_free_at_once() {
    let store = Store::new();
    let (here, there) = (store.direct(), store.direct());
    for _ in 0..20 {
        let first = request("a");
        granted(&here, &first).await;
        there.break_lock(first.key(), None).await.unwrap();
        let second = request("a");
        granted(&here, &second).await;
        let third = request("a");
        let waiting = tokio::spawn({
            let there = there.clone();
            async move {
                acquire(&there, &third).await;
                there.release(&third.claim()).await.unwrap();
            }
        });
        until_waiting(&there, "a", 1).await;
        here.release(&second.claim()).await.unwrap();
        waiting.await.unwrap();
        let last = request("a");
        granted(&here, &last).await;
        here.release(&last.claim()).await.unwrap();
    }
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

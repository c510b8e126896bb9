//! Many who wait.

use std::time::Duration;

use lock_core::{LockAdmin, LockBackend};
use tokio::time::{sleep, timeout};

use crate::slow;
use crate::support::{Store, acquire, agent, destroy, granted, refused, request, until_waiting};

const SOON: Duration = Duration::from_secs(8);

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

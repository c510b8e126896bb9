//! Locks that are taken away behind the backend's back.

use std::time::Duration;

use lock_consul::ConsulBackend;
use lock_core::{ErrorKind, LockAdmin, LockBackend, LockState};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::slow;
use crate::support::{Store, TTL, acquire, agent, destroy, granted, refused, request, supervisor, until_waiting};

/// Far less than a third of the TTL: told by the watch, not by a renewal.
const AT_ONCE: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn fault_45_a_destroyed_session_is_a_loss_told_at_once() {
    let store = Store::new();
    let locks = supervisor(store.direct());
    let guard = locks.lock("a").ttl(Duration::from_secs(60)).acquire().await.unwrap();
    let session = store.session("a").unwrap();
    destroy(&session);
    timeout(AT_ONCE, guard.lost()).await.expect("told at once");
    let next = locks.lock("a").ttl(Duration::from_secs(60)).acquire().await.unwrap();
    assert!(next.fencing_token() > guard.fencing_token());
    assert_ne!(store.session("a"), Some(session));
    // The same once more, when the lock was held for a while.
    sleep(Duration::from_millis(800)).await;
    destroy(&store.session("a").unwrap());
    timeout(AT_ONCE, next.lost()).await.expect("told at once");
}

#[test]
fn fault_46_lock_delay_is_waited_for_without_a_hot_loop() {
    slow::end_of("lock-delay");
}

pub(crate) async fn lock_delay() {
    let store = Store::new();
    let delay = Duration::from_secs(5);
    let holder = store.settings_through_proxy().lock_delay(delay).build().unwrap();
    granted(&holder, &request("a")).await;
    let waiter = store.through_proxy();
    let waiting = tokio::spawn(async move { acquire(&waiter, &request("a")).await });
    until_waiting(&store.direct(), "a", 1).await;
    let before = store.proxy.counters().requests;
    destroy(&store.session("a").unwrap());
    let began = Instant::now();
    timeout(delay * 2, waiting).await.expect("granted after the delay").unwrap();
    let (took, requests) = (began.elapsed(), store.proxy.counters().requests - before);
    assert!(took + Duration::from_millis(200) > delay && took < delay + Duration::from_secs(2), "{took:?}");
    println!("{requests} requests during a lock-delay of {delay:?}");
    assert!(requests <= 40, "{requests} requests during a lock-delay of {delay:?}");
}

/// Each of them has to ask: nobody tells that the delay is over.
#[test]
fn fault_46_a_crowd_of_locks_in_their_delay_is_no_hot_loop() {
    slow::end_of("many delays");
}

pub(crate) async fn many_delays() {
    const LOCKS: u64 = 200;
    let store = Store::new();
    let delay = Duration::from_secs(6);
    // Not through the proxy, which counts connections.
    let holder = ConsulBackend::builder(agent().address()).prefix(&store.prefix).lock_delay(delay).build().unwrap();
    let waiter = store.through_proxy();
    let mut waiting = JoinSet::new();
    for lock in 0..LOCKS {
        granted(&holder, &request(&format!("lock-{lock}"))).await;
        let waiter = waiter.clone();
        waiting.spawn(async move { acquire(&waiter, &request(&format!("lock-{lock}"))).await });
    }
    for lock in [0, LOCKS - 1] {
        until_waiting(&store.direct(), &format!("lock-{lock}"), 1).await;
    }
    for lock in 0..LOCKS {
        destroy(&store.session(&format!("lock-{lock}")).unwrap());
    }
    // All have heard of it.
    sleep(Duration::from_secs(2)).await;
    let before = store.proxy.counters();
    sleep(Duration::from_secs(3)).await;
    let after = store.proxy.counters();
    let requests = after.requests - before.requests;
    println!("{requests} requests in 3 s of lock-delay, {LOCKS} waiters");
    // Each asks once in 0.8 s, and renews its session once in 3.4 s.
    assert!(requests <= LOCKS * 6, "{requests} requests in 3 s");
    assert!(after.open <= 8, "{} connections", after.open);
    let all = async { while waiting.join_next().await.transpose().unwrap().is_some() {} };
    timeout(delay * 2, all).await.expect("all are granted after the delay");
}

#[tokio::test]
async fn fault_46_a_try_during_the_delay_is_refused_and_leaves_nothing() {
    let store = Store::new();
    let holder = store.settings_through_proxy().lock_delay(Duration::from_secs(3)).build().unwrap();
    granted(&holder, &request("a")).await;
    destroy(&store.session("a").unwrap());
    let seen = refused(&store.direct(), &request("a")).await;
    assert_eq!((seen.record().token(), seen.waiters()), (None, None));
    assert_eq!(store.keys().len(), 1);
}

#[tokio::test]
async fn fault_48_a_key_deleted_while_held_is_a_loss_and_the_next_token_is_greater() {
    let store = Store::new();
    let locks = supervisor(store.direct());
    let guard = locks.lock("a").ttl(Duration::from_secs(60)).acquire().await.unwrap();
    agent().tell("DELETE", &format!("/v1/kv/{}", store.path("a/.lock")), "").unwrap();
    let next = granted(&store.direct(), &request("a")).await;
    assert!(next.token() > guard.fencing_token());
    timeout(AT_ONCE, guard.lost()).await.expect("told at once");
}

#[test]
fn a_foreign_write_to_a_held_key_takes_nothing_away() {
    slow::end_of("write");
}

pub(crate) async fn foreign_write() {
    let store = Store::new();
    let locks = supervisor(store.direct());
    let guard = locks.lock("a").ttl(TTL).acquire().await.unwrap();
    sleep(Duration::from_millis(500)).await;
    agent().tell("PUT", &format!("/v1/kv/{}?flags=3304740253564472344", store.path("a/.lock")), "mine").unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(guard.state(), LockState::Held);
    refused(&store.direct(), &request("a")).await;
    // And its loss is still heard of.
    destroy(&store.session("a").unwrap());
    timeout(AT_ONCE, guard.lost()).await.expect("told at once");
}

/// Locks that share a watch, which tells of a write to one of them before that one is watched.
#[tokio::test]
async fn a_foreign_write_before_the_watch_costs_one_renewal() {
    let store = Store::new();
    let locks = supervisor(store.through_proxy());
    let write = |name: &str| {
        let key = store.path(&format!("{name}/.lock"));
        agent().tell("PUT", &format!("/v1/kv/{key}?flags=3304740253564472344"), "mine").unwrap();
    };
    let mut guards = Vec::new();
    for name in ["x", "y", "a1", "a2", "a3"] {
        guards.push(locks.lock(name).ttl(Duration::from_secs(60)).acquire().await.unwrap());
    }
    sleep(Duration::from_millis(800)).await;
    guards.push(locks.lock("a4").ttl(Duration::from_secs(60)).acquire().await.unwrap());
    write("a4");
    write("a1");
    let before = store.proxy.counters().requests;
    sleep(Duration::from_secs(2)).await;
    let requests = store.proxy.counters().requests - before;
    println!("{requests} requests after a foreign write");
    assert!(requests <= 10, "{requests} requests");
    assert!(guards.iter().all(lock_core::LockGuard::is_held));
}

#[tokio::test]
async fn fault_49_foreign_flags_are_a_conflict_and_stay_untouched() {
    let store = Store::new();
    let backend = store.direct();
    // Once known as free, the lock is taken without a look: that must see it, too.
    for name in ["new", "used"] {
        if name == "used" {
            let first = request(name);
            granted(&backend, &first).await;
            backend.release(&first.claim()).await.unwrap();
        }
        agent().tell("PUT", &format!("/v1/kv/{}?flags=7", store.path(&format!("{name}/.lock"))), "theirs").unwrap();
        let before = store.lock(name).unwrap();
        let error = backend.try_acquire(&request(name)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Conflict, false), "{error}");
        assert!(error.to_string().contains(&store.path(&format!("{name}/.lock"))), "{error}");
        assert_eq!(store.lock(name).unwrap(), before);
        let error = backend.inspect(request(name).key()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "nobody could take it: that is not free");
    }
}

//! Faults 1 to 5, by a proxy between the backend and a real agent.

use std::time::Duration;

use lock_core::{AcquireError, Attempt, ErrorKind, Lease, LockBackend, Outcome, Release, Renewal};
use tokio::time::{Instant, sleep, timeout};

use crate::slow;
use crate::support::{Store, TTL, acquire, granted, refused, request, supervisor};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn fault_01_partition_before_the_request() {
    let store = Store::new();
    store.proxy.refuse();
    let locks = lock_core::Supervisor::builder(std::sync::Arc::new(store.through_proxy()))
        .patience(Duration::from_millis(300))
        .build();
    let began = Instant::now();
    let error = locks.lock("a").try_acquire().await.unwrap_err();
    let AcquireError::Backend(error) = error else { panic!("{error:?}") };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert!(began.elapsed() < SOON);
    assert!(store.keys().is_empty());
}

#[tokio::test]
async fn fault_01_an_agent_that_is_silent_is_given_up_in_time() {
    let store = Store::new();
    store.proxy.blackhole();
    let backend = store.settings_through_proxy().call_limit(Duration::from_millis(200)).build().unwrap();
    let began = Instant::now();
    let error = backend.try_acquire(&request("a")).await.unwrap_err();
    assert!(error.is_transient() && began.elapsed() < Duration::from_secs(2), "{error} after {:?}", began.elapsed());
}

#[tokio::test]
async fn fault_02_applied_and_reply_lost() {
    let (store, request) = (Store::new(), request("a"));
    let backend = store.through_proxy();
    store.proxy.cut_after_request_containing(b"\"lock\"");
    let error = backend.try_acquire(&request).await.unwrap_err();
    assert_eq!((error.outcome(), error.is_transient()), (Outcome::Unknown, true), "{error}");
    let applied = store.lock("a").unwrap();
    let grant = granted(&backend, &request).await;
    assert_eq!(Some(grant.token().get()), applied["ModifyIndex"].as_u64(), "the token of the request that was applied");
    assert_eq!(store.lock("a").unwrap(), applied, "nothing was written again");
    assert_eq!(backend.release(&request.claim()).await.unwrap(), Release::Released);
    granted(&store.direct(), &crate::support::request("a")).await;
}

/// Its session is ended for certain. That must not look like a loss to who comes next.
#[tokio::test]
async fn fault_02_a_release_after_a_lost_reply_shuts_the_lock_for_nobody() {
    let store = Store::new();
    let own = request("a");
    let backend = store.settings_through_proxy().lock_delay(Duration::from_secs(5)).build().unwrap();
    store.proxy.cut_after_request_containing(b"\"lock\"");
    backend.try_acquire(&own).await.unwrap_err();
    granted(&backend, &own).await;
    let session = store.session("a").unwrap();
    assert_eq!(backend.release(&own.claim()).await.unwrap(), Release::Released);
    assert_eq!(store.lock("a").unwrap()["Value"], serde_json::Value::Null, "the record of who let go is left");
    let told = crate::support::agent().tell("GET", &format!("/v1/session/info/{session}"), "").unwrap();
    assert_eq!(told.trim(), "[]", "the session may be used by a request that comes late");
    let next = granted(&store.direct(), &request("a")).await;
    assert_eq!(next.takeover(), lock_core::Takeover::None);
}

#[tokio::test]
async fn an_owner_that_asks_twice_at_once_can_renew_what_it_gets() {
    let (store, holder, own) = (Store::new(), request("a"), request("a"));
    let (direct, backend) = (store.direct(), store.through_proxy());
    granted(&direct, &holder).await;
    // The first is told that it is held, the second waits for the first and finds it free.
    store.proxy.delay_replies(Duration::from_millis(200));
    let ask = || {
        let (backend, own) = (backend.clone(), own.clone());
        tokio::spawn(async move { backend.try_acquire(&own).await.unwrap() })
    };
    let tries = [ask(), ask()];
    sleep(Duration::from_millis(100)).await;
    direct.release(&holder.claim()).await.unwrap();
    store.proxy.heal();
    let mut token = None;
    for attempt in tries {
        if let Attempt::Granted(grant) = attempt.await.unwrap() {
            token = Some(grant.token());
        }
    }
    let lease = Lease::new(own.claim(), token.expect("the second is granted"), own.ttl());
    assert!(matches!(backend.renew(&lease).await.unwrap(), Renewal::Renewed(_)), "lost, and held in the store");
}

#[tokio::test]
async fn fault_02_release_applied_and_reply_lost() {
    let (store, request) = (Store::new(), request("a"));
    let backend = store.through_proxy();
    let locks = supervisor(backend.clone());
    let guard = locks.lock("b").ttl(TTL).acquire().await.unwrap();
    store.proxy.cut_after_request_containing(b"\"unlock\"");
    guard.release().await.unwrap();
    assert_eq!(store.session("b"), None);
    granted(&backend, &request).await;
}

#[test]
fn fault_03_applied_and_no_retry_succeeds() {
    slow::end_of("no retry");
}

pub(crate) async fn no_retry() {
    let store = Store::new();
    let locks = lock_core::Supervisor::builder(std::sync::Arc::new(store.through_proxy()))
        .patience(Duration::from_millis(500))
        .build();
    // Connections are there, and a session.
    locks.lock("warm").ttl(TTL).acquire().await.unwrap().release().await.unwrap();
    store.proxy.drop_replies();
    let error = locks.lock("a").ttl(TTL).try_acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Ambiguous(_)), "{error:?}");
    store.proxy.heal();
    sleep(Duration::from_millis(500)).await;
    store.until_free("a", TTL).await;
    granted(&store.direct(), &request("a")).await;
}

#[tokio::test]
async fn fault_04_a_dropped_acquire_leaves_nothing() {
    let store = Store::new();
    let locks = supervisor(store.through_proxy());
    store.proxy.delay_replies(Duration::from_millis(3));
    let other = supervisor(store.direct());
    for micros in (0..30).map(|n| n * 700) {
        let _ = timeout(Duration::from_micros(micros), locks.lock("free").ttl(TTL).acquire()).await;
    }
    let holder = other.lock("held").ttl(TTL).acquire().await.unwrap();
    for micros in (0..30).map(|n| n * 1_000) {
        let _ = timeout(Duration::from_micros(micros), locks.lock("held").ttl(TTL).acquire()).await;
    }
    holder.release().await.unwrap();
    for name in ["free", "held"] {
        let guard = timeout(SOON, other.lock(name).ttl(TTL).acquire()).await.expect("free soon").unwrap();
        guard.release().await.unwrap();
    }
    for _ in 0..100 {
        if store.keys().len() == 2 {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("left behind: {:?}", store.keys());
}

/// Nobody else knows the session that the agent is about to tell.
#[tokio::test]
async fn fault_04_an_acquire_dropped_while_its_session_is_made_leaves_none() {
    let agent = testbed::consul::Agent::dev().unwrap();
    let proxy = testbed::proxy::Proxy::to(([127, 0, 0, 1], agent.port()).into());
    let backend = lock_consul::ConsulBackend::new(format!("http://{}", proxy.address())).unwrap();
    let sessions = || agent.tell("GET", "/v1/session/list", "").unwrap();
    proxy.delay_replies(Duration::from_millis(300));
    let own = request("a");
    // A look, then the session.
    assert!(timeout(Duration::from_millis(500), backend.try_acquire(&own)).await.is_err());
    assert_ne!(sessions().trim(), "[]", "the request is on its way");
    for _ in 0..100 {
        if sessions().trim() == "[]" {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("left behind: {}", sessions());
}

#[tokio::test]
async fn fault_05_a_request_that_comes_after_the_clean_up_is_rejected() {
    let (store, request) = (Store::new(), request("a"));
    let backend = store.through_proxy();
    store.proxy.deliver_late_request_containing(b"\"lock\"");
    backend.try_acquire(&request).await.unwrap_err();
    assert_eq!(backend.release(&request.claim()).await.unwrap(), Release::NotHeld);
    store.proxy.deliver_late();
    assert_eq!(store.session("a"), None, "applied after all");
    granted(&store.direct(), &crate::support::request("a")).await;
}

#[tokio::test]
async fn fault_05_a_session_of_an_abandoned_owner_serves_no_other() {
    let (store, first) = (Store::new(), request("a"));
    let backend = store.through_proxy();
    let before = granted(&backend, &first).await;
    let session = store.session("a").unwrap();
    store.proxy.deliver_late_request_containing(b"\"unlock\"");
    backend.release(&first.claim()).await.unwrap_err();
    assert_eq!(backend.release(&first.claim()).await.unwrap(), Release::Released);
    let (second, third) = (request("a"), request("b"));
    let after = granted(&backend, &second).await;
    granted(&backend, &third).await;
    assert!(after.token() > before.token());
    assert!(store.session("a") != Some(session.clone()) && store.session("b") != Some(session));
    store.proxy.deliver_late();
    let lease = Lease::new(second.claim(), after.token(), second.ttl());
    assert!(matches!(backend.renew(&lease).await.unwrap(), Renewal::Renewed(_)), "freed by a late release");
}

#[tokio::test]
async fn fault_05_a_place_in_the_queue_that_is_taken_late_blocks_nobody() {
    let (store, holder, waiter) = (Store::new(), request("a"), request("a"));
    let (direct, backend) = (store.direct(), store.through_proxy());
    granted(&direct, &holder).await;
    let seen = refused(&backend, &waiter).await;
    store.proxy.deliver_late_request_containing(b".queue");
    backend.wait(&waiter, &seen).await.unwrap_err();
    assert_eq!(backend.release(&waiter.claim()).await.unwrap(), Release::NotHeld);
    store.proxy.deliver_late();
    direct.release(&holder.claim()).await.unwrap();
    timeout(SOON, acquire(&direct, &request("a"))).await.expect("nobody is before it");
}

//! Sessions, TTLs, breaking, and what is left in the store.

use std::time::Duration;

use lock_core::{BreakOutcome, LockAdmin, LockBackend, LockKey, Severity};
use tokio::time::timeout;

use crate::support::{Store, acquire, agent, granted, request, supervisor, until_waiting};

#[tokio::test]
async fn the_key_is_readable_and_stays_after_the_release() {
    let store = Store::new();
    let (backend, own) = (store.direct(), request("reports/nightly"));
    let grant = granted(&backend, &own).await;
    let shown = agent()
        .command()
        .unwrap()
        .args(["kv", "get", &store.path("reports%2Fnightly/.lock")])
        .output()
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(record["key"], "reports/nightly");
    assert_eq!(record["owner"].as_str(), Some(&*own.owner().to_string()));
    let entry = store.lock("reports%2Fnightly").unwrap();
    assert_eq!(entry["ModifyIndex"].as_u64(), Some(grant.token().get()));
    assert_eq!(entry["Flags"].as_u64(), Some(0x2ddc_cbc0_58a5_0c18));
    backend.release(&own.claim()).await.unwrap();
    assert_eq!(store.lock("reports%2Fnightly").unwrap()["Value"], serde_json::Value::Null);
}

#[tokio::test]
async fn sessions_are_made_as_told_and_used_again() {
    let store = Store::new();
    let backend = store.settings_through_proxy().lock_delay(Duration::from_millis(300)).build().unwrap();
    let own = request("a");
    granted(&backend, &own).await;
    let id = store.session("a").unwrap();
    let told = agent().tell("GET", &format!("/v1/session/info/{id}"), "").unwrap();
    let session: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(session[0]["Behavior"], "release");
    assert_eq!(session[0]["LockDelay"].as_u64(), Some(300_000_000));
    // None: a blip of the agent's health check ends no lock.
    assert_eq!(session[0]["NodeChecks"].as_array().map(Vec::len), Some(0));
    backend.release(&own.claim()).await.unwrap();
    let again = request("b");
    granted(&backend, &again).await;
    assert_eq!(store.session("b"), Some(id), "an idle session is used again");
    assert_ne!(
        { granted(&backend, &request("c")).await; store.session("c") },
        store.session("b"),
        "each lock that is held has a session of its own"
    );
}

#[tokio::test]
async fn a_warm_acquire_and_release_are_two_requests() {
    let store = Store::new();
    let backend = store.through_proxy();
    for round in 0..3 {
        let before = store.proxy.counters().requests;
        let own = request("a");
        granted(&backend, &own).await;
        backend.release(&own.claim()).await.unwrap();
        let requests = store.proxy.counters().requests - before;
        assert_eq!(requests, if round == 0 { 4 } else { 2 }, "round {round}");
    }
}

#[tokio::test]
async fn an_idle_session_that_ended_is_replaced_unseen() {
    let store = Store::new();
    let backend = store.direct();
    let first = request("a");
    granted(&backend, &first).await;
    let id = store.session("a").unwrap();
    backend.release(&first.claim()).await.unwrap();
    store.destroy(&id);
    granted(&backend, &request("a")).await;
    assert_ne!(store.session("a"), Some(id));
}

#[tokio::test]
async fn a_broken_holder_hears_of_it_and_its_successor_is_served() {
    let store = Store::new();
    let locks = supervisor(store.direct());
    // Once with a place in the queue, once without.
    let first = locks.lock("a").ttl(Duration::from_secs(60)).acquire().await.unwrap();
    for _ in 0..2 {
        let waiting = tokio::spawn({
            let backend = store.direct();
            async move { acquire(&backend, &request("a")).await }
        });
        until_waiting(&store.direct(), "a", 1).await;
        let outcome = store.direct().break_lock(&LockKey::new("a").unwrap(), None).await.unwrap();
        assert!(matches!(outcome, BreakOutcome::Broken(_)), "{outcome:?}");
        timeout(Duration::from_secs(3), waiting).await.expect("served").unwrap();
    }
    timeout(Duration::from_secs(1), first.lost()).await.expect("told");
}

#[tokio::test]
async fn a_waiter_that_gives_up_leaves_no_session_and_no_key() {
    let store = Store::new();
    let holder = store.direct();
    granted(&holder, &request("a")).await;
    let (waiter, own) = (store.direct(), request("a"));
    let seen = crate::support::refused(&waiter, &own).await;
    let waiting = timeout(Duration::from_millis(500), waiter.wait(&own, &seen)).await;
    assert!(waiting.is_err());
    let place = store.keys().into_iter().find(|key| key.contains(".queue")).unwrap();
    let session = store.entry(place.strip_prefix(&store.prefix).unwrap()).unwrap()["Session"].clone();
    waiter.release(&own.claim()).await.unwrap();
    assert_eq!(store.keys(), [store.path("a/.lock")]);
    let told = agent().tell("GET", &format!("/v1/session/info/{}", session.as_str().unwrap()), "").unwrap();
    assert_eq!(told.trim(), "[]", "the session is gone");
}

#[tokio::test]
async fn preflight_tells_leader_version_rights_and_range() {
    let store = Store::new();
    let findings = store.direct().preflight().await;
    for check in ["leader", "servers", "version", "data", "session", "ttl-range", "lock-delay", "key", "prefix"] {
        assert!(findings.iter().any(|finding| finding.check() == check), "{check}: {findings:?}");
    }
    assert!(findings.iter().all(|finding| finding.severity() < Severity::Unusable), "{findings:?}");
    assert!(store.keys().is_empty(), "the check leaves nothing behind");
}

//! Faults 6 to 9: a holder that hears nothing, or too late, or bad news.

use std::time::Duration;

use lock_core::{Attempt, Lease, LockBackend, LockState, Release, Renewal};
use tokio::time::{Instant, sleep, timeout};

use crate::slow;
use crate::support::{Store, TTL, acquire, granted, request, supervisor};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn fault_06_a_guard_dropped_outside_a_runtime() {
    let store = Store::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let locks = supervisor(store.through_proxy());
    let guard = runtime.block_on(locks.lock("a").ttl(TTL).acquire()).unwrap();
    drop(guard);
    runtime.block_on(store.until_free("a", SOON));
    // While the agent's replies are lost, and when the runtime has gone.
    let held = ["a", "b"].map(|name| runtime.block_on(locks.lock(name).ttl(TTL).acquire()).unwrap());
    store.proxy.drop_replies();
    let [first, second] = held;
    drop(first);
    drop(runtime);
    drop(second);
}

#[test]
fn faults_07_and_09_an_outage_of_a_whole_ttl_loses_the_lock_before_anyone_gets_it() {
    slow::end_of("outage");
}

pub(crate) async fn outage() {
    let store = Store::new();
    let locks = supervisor(store.through_proxy());
    let began = Instant::now();
    let guard = locks.lock("a").ttl(TTL).acquire().await.unwrap();
    store.proxy.hold_replies();
    let other = store.direct();
    let successor = tokio::spawn(async move { acquire(&other, &request("a")).await });
    guard.lost().await;
    let lost = began.elapsed();
    assert!(lost > Duration::from_secs(6) && lost < TTL, "{lost:?}");
    assert!(!successor.is_finished(), "granted before the loss was told");
    store.proxy.heal();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(guard.state(), LockState::Lost, "revived by a reply that came too late");
    let token = guard.fencing_token();
    drop(guard);
    let next = timeout(TTL * 2, successor).await.expect("free after the TTL").unwrap();
    assert!(next.token() > token);
}

#[tokio::test]
async fn fault_08_renewal_says_not_yours() {
    let (store, request) = (Store::new(), request("a"));
    let backend = store.through_proxy();
    let grant = granted(&backend, &request).await;
    let lease = Lease::new(request.claim(), grant.token(), request.ttl());
    let session = store.session("a").unwrap();
    agent_frees(&store, &session);
    // An answer that is lost isn't that news.
    store.proxy.cut_after_request_containing(b"/.lock?");
    backend.renew(&lease).await.unwrap_err();
    // The session lives and can be renewed: the key isn't its own any more.
    assert_eq!(backend.renew(&lease).await.unwrap(), Renewal::Lost);
    assert_eq!(backend.renew(&lease).await.unwrap(), Renewal::Lost);
    assert_eq!(backend.release(&request.claim()).await.unwrap(), Release::NotHeld);
}

fn agent_frees(store: &Store, session: &str) {
    let path = format!("/v1/kv/{}?release={session}", store.path("a/.lock"));
    crate::support::agent().tell("PUT", &path, "").unwrap();
}

#[test]
fn fault_09_an_outage_shorter_than_the_ttl_is_survived() {
    slow::end_of("short outage");
}

pub(crate) async fn short_outage() {
    let store = Store::new();
    let locks = supervisor(store.through_proxy());
    let guard = locks.lock("a").ttl(TTL).acquire().await.unwrap();
    store.proxy.blackhole();
    sleep(Duration::from_secs(6)).await;
    assert!(guard.is_held());
    store.proxy.heal();
    sleep(Duration::from_secs(6)).await;
    assert_eq!(guard.state(), LockState::Held);
    guard.release().await.unwrap();
    assert!(matches!(store.direct().try_acquire(&request("a")).await.unwrap(), Attempt::Granted(_)));
}

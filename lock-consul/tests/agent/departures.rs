//! Who goes without a word: a waiter that is killed, an agent that leaves, an agent that is started again.

use std::time::Duration;

use lock_consul::ConsulBackend;
use lock_core::{AcquireRequest, LockBackend, LockKey, LockState, Ttl};
use rustix::process::Signal;
use testbed::consul::Cluster;
use tokio::time::{Instant, sleep, timeout};

use crate::slow;
use crate::support::{Store, TTL, acquire, destroy, granted, request, supervisor, until_waiting};

fn for_a_day() -> AcquireRequest {
    AcquireRequest::new(LockKey::new("a").unwrap(), Ttl::new(Duration::from_secs(24 * 3600)).unwrap())
}

/// Its session is ended by its TTL alone. That mustn't take as long as the lease that it asked for.
#[test]
fn a_killed_waiter_keeps_a_free_lock_for_a_minute_however_long_its_lease() {
    slow::end_of("killed waiter");
}

pub(crate) async fn killed_waiter() {
    let store = Store::new();
    let holder = store.direct();
    let first = for_a_day();
    granted(&holder, &first).await;
    // Gone with its runtime, as by SIGKILL: nothing is released, nothing is ended.
    let dead = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let backend = store.direct();
    dead.spawn(async move { acquire(&backend, &for_a_day()).await });
    until_waiting(&holder, "a", 1).await;
    dead.shutdown_background();
    let behind = tokio::spawn({
        let backend = store.direct();
        async move { acquire(&backend, &for_a_day()).await }
    });
    until_waiting(&holder, "a", 2).await;
    holder.release(&first.claim()).await.unwrap();
    let free = Instant::now();
    timeout(Duration::from_secs(70), behind).await.expect("served when the dead waiter's session has ended").unwrap();
    println!("behind a killed waiter: served after {:?}", free.elapsed());
    destroy(&store.session("a").unwrap());
}

async fn cluster() -> Cluster {
    tokio::task::spawn_blocking(|| Cluster::start().unwrap()).await.unwrap()
}

/// What leaves is deregistered, and its sessions with it, whatever their TTL: an agent in client mode leaves on SIGTERM.
#[test]
fn an_agent_that_leaves_takes_its_sessions_along_and_a_lock_delay_of_a_ttl_covers_for_it() {
    slow::end_of("agent leaves");
}

pub(crate) async fn agent_leaves() {
    let mut cluster = cluster().await;
    let here = ConsulBackend::builder(cluster.client().address()).lock_delay(TTL).build().unwrap();
    let there = ConsulBackend::new(cluster.servers()[0].address()).unwrap();
    let guard = supervisor(here).lock("a").ttl(TTL).acquire().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    cluster.client_mut().process().signal(Signal::TERM).unwrap();
    let left = Instant::now();
    let successor = tokio::spawn(async move {
        let grant = acquire(&there, &request("a")).await;
        (grant, Instant::now())
    });
    guard.lost().await;
    let lost = Instant::now();
    let (grant, at) = timeout(Duration::from_secs(40), successor).await.expect("free after the lock-delay").unwrap();
    println!("the agent left: lost after {:?}, the next granted after {:?}", lost - left, at - left);
    assert!(lost <= at, "another was granted the lock before its holder knew of the loss");
    assert!(grant.token() > guard.fencing_token());
    // Not by its TTL: that would have taken 20 s, and the lock-delay.
    assert!(at - left < TTL * 2, "{:?}", at - left);
}

#[test]
fn a_holder_and_a_waiter_survive_their_agents_restart() {
    slow::end_of("agent restarts");
}

pub(crate) async fn agent_restarts() {
    let mut cluster = cluster().await;
    let backend = || ConsulBackend::new(cluster.client().address()).unwrap();
    let (locks, waits) = (supervisor(backend()), supervisor(backend()));
    let guard = locks.lock("a").ttl(Duration::from_secs(30)).acquire().await.unwrap();
    let waiting = tokio::spawn(async move { waits.lock("a").ttl(Duration::from_secs(30)).acquire().await });
    sleep(Duration::from_secs(1)).await;
    cluster.client_mut().process().kill().unwrap();
    sleep(Duration::from_secs(2)).await;
    cluster.client_mut().process().start_again().unwrap();
    sleep(Duration::from_secs(12)).await;
    assert_eq!(guard.state(), LockState::Held);
    guard.release().await.unwrap();
    let next = timeout(TTL * 2, waiting).await.expect("served").unwrap().unwrap();
    next.release().await.unwrap();
}

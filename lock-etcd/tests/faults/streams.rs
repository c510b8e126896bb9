//! What the server sees of many locks, counted by its own metrics.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, LockBackend, Supervisor};
use lock_etcd::EtcdBackend;
use testbed::etcd::EtcdOptions;
use tokio::time::{sleep, timeout};

use crate::support::{granted, request, seconds, until, waiter};

#[tokio::test]
async fn streams_to_the_server_do_not_grow_with_locks_and_waiters() {
    let server = EtcdOptions::default().start().unwrap();
    let before = server.streams(0).unwrap();
    let locks = Supervisor::new(EtcdBackend::new(server.endpoints()).unwrap());
    let mut guards = Vec::new();
    for n in 0..100 {
        guards.push(locks.lock(format!("held/{n}")).ttl(seconds(3)).acquire().await.unwrap());
    }
    // Each has been renewed, and is watched.
    sleep(seconds(2)).await;
    let held = server.streams(0).unwrap() - before;
    assert!(held <= 3.0, "{held} streams for 100 locks of one client");
    let watchers = server.metric(0, "etcd_debugging_mvcc_watcher_total", "").unwrap();
    assert!(watchers >= 100.0, "each is watched: {watchers}");
    let client = Arc::new(EtcdBackend::new(server.endpoints()).unwrap());
    let waiters: Vec<_> = (0..100).map(|n| waiter(&client, &request(&format!("held/{n}"), 60))).collect();
    let look = EtcdBackend::new(server.endpoints()).unwrap();
    until("all wait", async || {
        let Attempt::Held(seen) = look.try_acquire(&request("held/99", 60)).await.unwrap() else { return false };
        seen.waiters() == Some(1)
    })
    .await;
    sleep(seconds(1)).await;
    let all = server.streams(0).unwrap() - before;
    assert!(all <= 6.0, "{all} streams for 100 locks and 100 waiters of two clients");
    drop(guards);
    for waiter in waiters {
        timeout(seconds(10), waiter).await.expect("served").unwrap().unwrap();
    }
}

#[tokio::test]
async fn released_locks_leave_neither_leases_nor_watchers() {
    let server = EtcdOptions::default().start().unwrap();
    let locks = Supervisor::new(EtcdBackend::new(server.endpoints()).unwrap());
    let other = EtcdBackend::new(server.endpoints()).unwrap();
    for n in 0..10 {
        let guard = locks.lock(format!("gone/{n}")).ttl(seconds(60)).acquire().await.unwrap();
        let in_vain = request(&format!("gone/{n}"), 60);
        assert!(matches!(other.try_acquire(&in_vain).await.unwrap(), Attempt::Held(_)));
        sleep(Duration::from_millis(150)).await;
        guard.release().await.unwrap();
    }
    let nothing = async || {
        let leases = server.ctl().unwrap().run(&["lease", "list"]).unwrap();
        leases.starts_with("found 0 leases")
            && server.metric(0, "etcd_debugging_mvcc_watcher_total", "").unwrap() == 0.0
    };
    until("no lease and no watcher is left", nothing).await;
}

#[tokio::test]
async fn handoff_among_many_waiters_wakes_one() {
    let server = EtcdOptions::default().start().unwrap();
    let holder = EtcdBackend::new(server.endpoints()).unwrap();
    let held = request("crowd", 60);
    granted(&holder, &held).await;
    let client = Arc::new(EtcdBackend::new(server.endpoints()).unwrap());
    let waiters: Vec<_> = (0..200).map(|_| waiter(&client, &request("crowd", 60))).collect();
    until("all wait", async || {
        let Attempt::Held(seen) = holder.try_acquire(&request("crowd", 60)).await.unwrap() else { return false };
        seen.waiters() == Some(200)
    })
    .await;
    sleep(seconds(1)).await;
    let ranges = |server: &testbed::etcd::Etcd| server.metric(0, "etcd_debugging_mvcc_events_total", "").unwrap();
    let before = ranges(&server);
    holder.release(&held.claim()).await.unwrap();
    sleep(seconds(1)).await;
    assert_eq!(waiters.iter().filter(|waiter| waiter.is_finished()).count(), 1);
    // The server told of the one deleted key to the one who watched it, and to nobody else.
    let told = ranges(&server) - before;
    assert!(told <= 2.0, "{told} events for one hand-off");
}

//! What the server sees of many locks, counted by its own metrics.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, LockAdmin, LockBackend, Supervisor};
use lock_etcd::EtcdBackend;
use testbed::etcd::EtcdOptions;
use tokio::task::JoinSet;
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
async fn released_locks_leave_no_watchers_and_leases_for_a_ttl_at_most() {
    let server = EtcdOptions::default().start().unwrap();
    let locks = Supervisor::new(EtcdBackend::new(server.endpoints()).unwrap());
    let other = EtcdBackend::new(server.endpoints()).unwrap();
    for n in 0..10 {
        let guard = locks.lock(format!("gone/{n}")).ttl(seconds(3)).acquire().await.unwrap();
        let in_vain = request(&format!("gone/{n}"), 60);
        assert!(matches!(other.try_acquire(&in_vain).await.unwrap(), Attempt::Held(_)));
        sleep(Duration::from_millis(150)).await;
        guard.release().await.unwrap();
    }
    let leases = server.ctl().unwrap().run(&["lease", "list"]).unwrap();
    assert!(leases.starts_with("found 1 leases"), "one serves all, one after the other: {leases}");
    let nothing = async || {
        let leases = server.ctl().unwrap().run(&["lease", "list"]).unwrap();
        leases.starts_with("found 0 leases")
            && server.metric(0, "etcd_debugging_mvcc_watcher_total", "").unwrap() == 0.0
    };
    until("no lease and no watcher is left", nothing).await;
}

/// Counted at the server, for one hand-off after the other.
#[tokio::test]
async fn handoff_among_a_thousand_waiters_wakes_one() {
    const WAITERS: u32 = 1_000;
    let server = EtcdOptions::default().start().unwrap();
    let holder = EtcdBackend::new(server.endpoints()).unwrap();
    let mut held = request("crowd", 600);
    granted(&holder, &held).await;
    let client = Arc::new(EtcdBackend::new(server.endpoints()).unwrap());
    let mut waiters = JoinSet::new();
    let watchers = async || server.metric(0, "etcd_debugging_mvcc_watcher_total", "").unwrap();
    for number in 1..=WAITERS {
        let (client, request) = (client.clone(), request("crowd", 600));
        waiters.spawn(async move { waiter(&client, &request).await.unwrap().map(|_| request) });
        if number % 100 == 0 {
            // Each watches its own key and the one before.
            until("they wait", async || watchers().await >= 2.0 * f64::from(number)).await;
        }
    }
    for round in 0..10 {
        // Whoever is woken keeps its lease alive, and ends its watches. Looks by the clock send nothing on a stream.
        let streams = || server.metric(0, "grpc_server_msg_received_total", "bidi_stream").unwrap();
        let events = || server.metric(0, "etcd_debugging_mvcc_events_total", "").unwrap();
        let (asked, told) = (streams(), events());
        match round {
            0 => holder.release(&held.claim()).await.unwrap(),
            _ => client.release(&held.claim()).await.unwrap(),
        };
        held = timeout(seconds(5), waiters.join_next()).await.expect("served").unwrap().unwrap().unwrap();
        let (asked, told) = (streams() - asked, events() - told);
        // The next holder's; and if it takes long, the watch of the key that is held, begun and ended.
        assert!(asked <= 5.0, "{asked} messages on streams for hand-off {round}");
        // Of the deleted key, to the one who watched it; and to its own watch, if that isn't ended yet.
        assert!(told <= 2.0, "{told} events for hand-off {round}");
        assert!(waiters.try_join_next().is_none(), "somebody else was woken");
    }
}

/// A lease of many locks is asked for once, not for each of them.
#[tokio::test]
async fn list_asks_for_each_lease_once() {
    let server = EtcdOptions::default().start().unwrap();
    let sharing = EtcdBackend::builder(server.endpoints()).with_shared_leases().build().unwrap();
    let client = EtcdBackend::new(server.endpoints()).unwrap();
    for n in 0..100 {
        granted(&sharing, &request(&format!("listed/{n}"), 60)).await;
    }
    for n in 100..150 {
        granted(&client, &request(&format!("listed/{n}"), 60)).await;
    }
    let asked = || server.metric(0, "grpc_server_handled_total", "LeaseTimeToLive").unwrap();
    let before = asked();
    let listed = client.list("listed/").await.unwrap();
    assert_eq!(listed.len(), 150);
    assert!(listed.iter().all(|record| record.expires_in().is_some()), "{listed:?}");
    assert!((asked() - before - 51.0).abs() < 0.5, "{} times", asked() - before);
}

//! Connections that are dead without a sign, slow, or to a server that has been demoted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_core::{Attempt, ErrorKind, LockAdmin, LockBackend, Outcome, Supervisor};
use testbed::redis::RedisServer;

use crate::Bed;
use crate::support::{LONG, granted, renew, request};

#[tokio::test]
async fn fault_09_a_half_open_connection_is_replaced() {
    let bed = Bed::start();
    let far = bed.far().await;
    let holder = request("k", LONG);
    let grant = granted(&far, &holder).await;
    bed.proxy.half_open();
    let error = renew(&far, &holder, &grant).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::TimedOut, Outcome::Unknown), "{error}");
    renew(&far, &holder, &grant).await.unwrap();
}

#[tokio::test]
async fn many_callers_of_a_dead_server_wait_for_one_try_each() {
    let bed = Bed::start();
    let far = Arc::new(bed.far().await);
    bed.proxy.cut();
    bed.proxy.blackhole();
    // Until the end is seen, calls fail at once, on the connection that ended.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let far = far.clone();
            tokio::spawn(async move { far.try_acquire(&request(&format!("k{n}"), LONG)).await.map(|_| ()) })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap_err().is_transient());
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn fault_09_a_short_lease_survives_a_half_open_connection() {
    let bed = Bed::start();
    // The limit of calls is the default, a second: as long as the lease.
    let locks = Supervisor::new(bed.far_within(Duration::from_secs(1)).await);
    let guard = locks.lock("k").ttl(Duration::from_secs(1)).acquire().await.unwrap();
    bed.proxy.half_open();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
}

#[tokio::test]
async fn who_waits_looks_as_soon_as_a_connection_is_given_up() {
    let bed = Bed::start();
    let (far, near) = (bed.far().await, bed.near().await);
    let (holder, other, waiter) = (request("k", LONG), request("other", LONG), request("k", LONG).with_waiting(true));
    granted(&near, &holder).await;
    let grant = granted(&far, &other).await;
    // So far behind that it looks every 1.2 s.
    let others = "for _ = 1, 200 do redis.call('RPUSH', KEYS[1], 'somebody') end";
    bed.server.command(&["EVAL", others, "1", "{distlock:k}:queue"]).unwrap();
    let Attempt::Held(seen) = far.try_acquire(&waiter).await.unwrap() else { panic!("granted") };
    let given_up = async {
        bed.proxy.half_open();
        renew(&far, &other, &grant).await.unwrap_err();
        Instant::now()
    };
    let looks = async {
        far.wait(&waiter, &seen).await.unwrap();
        Instant::now()
    };
    let (given_up, looks) = tokio::join!(given_up, looks);
    assert!(looks.saturating_duration_since(given_up) < Duration::from_millis(300), "deaf until its next look");
}

#[tokio::test]
async fn fault_36_a_master_that_was_demoted_is_left_for_its_successor() {
    let bed = Bed::start();
    let (far, successor) = (bed.far().await, RedisServer::start(&[]).unwrap());
    bed.server.command(&["REPLICAOF", "127.0.0.1", &successor.port().to_string()]).unwrap();
    let error = far.try_acquire(&request("k", LONG)).await.unwrap_err();
    assert!(error.is_transient() && error.message().contains("READONLY"), "{error}");
    // The old one lives on and ends no connection.
    bed.proxy.lead_to(([127, 0, 0, 1], successor.port()).into());
    granted(&far, &request("k", LONG)).await;
}

#[tokio::test]
async fn a_long_listing_over_a_slow_line_costs_no_call_its_limit() {
    let bed = Bed::start();
    let far = bed.far().await;
    let locks = "for i = 1, 1000 do redis.call('SET', KEYS[1] .. i, string.rep('x', 500), 'PX', 600000) end";
    bed.server.command(&["EVAL", locks, "1", "distlock:k"]).unwrap();
    // All values at once would take more than a second.
    bed.proxy.throttle(500_000);
    assert_eq!(far.list("k").await.unwrap().len(), 1_000);
}

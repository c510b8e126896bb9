//! Slots that move to another master while locks are held and waited for, and masters that are replaced in peace.

use std::time::{Duration, Instant};

use lock_core::{Grant, LockAdmin, LockBackend, Release, Renewal};
use lock_redis::RedisBackend;
use testbed::redis::{RedisSentinels, RedisServer, RedisShards};

use crate::support::{LONG, acquire_within, granted, is_refused, release, renew, request, until_waiting};

async fn client(shards: &RedisShards) -> RedisBackend {
    RedisBackend::cluster(shards.addresses()).connect().await.unwrap()
}

/// How often a master said that another one has the slot.
fn redirections(shards: &RedisShards) -> u64 {
    let of = |server: &RedisServer| {
        let errors = server.command(&["INFO", "errorstats"]).unwrap();
        let line = errors.lines().find_map(|line| line.trim().strip_prefix("errorstat_MOVED:count="))?.to_owned();
        line.parse::<u64>().ok()
    };
    shards.servers().iter().filter_map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_36_a_slot_that_moved_between_acquire_and_renew_costs_nothing() {
    let shards = RedisShards::start(2).unwrap();
    let (a, b) = (client(&shards).await, client(&shards).await);
    let holder = request("k", LONG);
    let grant = granted(&a, &holder).await;
    for _ in 0..2 {
        shards.begin_to_move("distlock:k").unwrap().finish().unwrap();
        // At the first call, by whichever client.
        assert!(matches!(renew(&a, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
        assert!(is_refused(&b, &request("k", LONG)).await);
        assert_eq!(b.list("").await.unwrap().len(), 1);
        // And once for all: nobody goes to the old one any more.
        let sent_away = redirections(&shards);
        renew(&a, &holder, &grant).await.unwrap();
        assert!(is_refused(&b, &request("k", LONG)).await);
        assert_eq!(redirections(&shards), sent_away);
    }
    shards.begin_to_move("distlock:k").unwrap().finish().unwrap();
    assert_eq!(release(&a, &holder).await, Release::Released);
    assert!(granted(&b, &request("k", LONG)).await.token() > grant.token());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_36_a_lock_is_renewed_wherever_it_is_while_its_slot_moves() {
    let shards = RedisShards::start(2).unwrap();
    let a = client(&shards).await;
    let (holder, other) = (request("k", LONG), request("k", LONG));
    let grant = granted(&a, &holder).await;
    let moving = shards.begin_to_move("distlock:k").unwrap();
    let is_renewed = || async { matches!(renew(&a, &holder, &grant).await.unwrap(), Renewal::Renewed(_)) };
    // Where it was, though it has no queue, which might be elsewhere; then alone at the other one; then as a whole.
    assert!(is_renewed().await);
    moving.move_key("distlock:k").unwrap();
    assert!(is_renewed().await);
    moving.move_key("{distlock:k}:last").unwrap();
    assert!(is_renewed().await);
    assert_eq!(renew(&a, &other, &grant).await.unwrap(), Renewal::Lost, "a loss is told meanwhile as well");
    // Everything else waits: who stands in line there isn't heard here yet.
    assert!(a.release(&holder.claim()).await.unwrap_err().is_transient());
    moving.finish().unwrap();
    assert_eq!(release(&a, &holder).await, Release::Released);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_while_a_slot_moves_is_served_in_order() {
    let shards = RedisShards::start(2).unwrap();
    let (holding, first, second) = (client(&shards).await, client(&shards).await, client(&shards).await);
    let holder = request("k", LONG);
    let held = granted(&holding, &holder).await;
    let in_line = |backend: RedisBackend| {
        tokio::spawn(async move {
            let waiter = request("k", LONG);
            let grant = acquire_within(&backend, &waiter, LONG).await;
            (grant, Instant::now(), backend, waiter)
        })
    };
    let first = in_line(first);
    until_waiting(&holding, "k", 1).await;
    let second = in_line(second);
    until_waiting(&holding, "k", 2).await;
    let moving = shards.begin_to_move("distlock:k").unwrap();
    // For a while: each of them looks, and is sent back and forth.
    tokio::time::sleep(Duration::from_secs(1)).await;
    moving.finish().unwrap();
    // Both stand in line there, and hear.
    until_waiting(&holding, "k", 2).await;
    let master = shards.master_of("distlock:k").unwrap();
    while master.command(&["PUBSUB", "SHARDCHANNELS"]).unwrap().lines().count() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(release(&holding, &holder).await, Release::Released);
    let released = Instant::now();
    let (one, at, backend, waiter) = first.await.unwrap();
    assert!(at - released < Duration::from_millis(300), "{:?}", at - released);
    assert!(!second.is_finished());
    assert_eq!(release(&backend, &waiter).await, Release::Released);
    let (two, ..) = second.await.unwrap();
    assert!(held.token() < one.token() && one.token() < two.token());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_demoted_in_peace_is_left_for_its_successor() {
    let mut sentinels = RedisSentinels::start().unwrap();
    let through = || RedisBackend::sentinel(sentinels.addresses(), sentinels.name()).connect();
    let (a, b) = (through().await.unwrap(), through().await.unwrap());
    let holder = request("k", LONG);
    let grant = granted(&a, &holder).await;
    let old = sentinels.first_master().port();
    let successor = sentinels.first_replica().port();
    assert_eq!(sentinels.first_master().command(&["WAIT", "1", "5000"]).unwrap(), "1");
    sentinels.fail_over().unwrap();
    sentinels.until_master_is(successor).unwrap();
    while !sentinels.first_master().command(&["ROLE"]).unwrap().starts_with("slave") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Who is still connected to the old one finds out by a write; who isn't, by asking.
    let after: Grant = acquire_within(&b, &request("other", LONG), Duration::from_secs(20)).await;
    assert!(after.token() > grant.token());
    let renewed = loop {
        match renew(&a, &holder, &grant).await {
            Err(error) => assert!(error.is_transient(), "{error}"),
            Ok(renewed) => break renewed,
        }
    };
    assert!(matches!(renewed, Renewal::Renewed(_)));
    assert_ne!(old, successor);
    assert_eq!(sentinels.first_replica().command(&["EXISTS", "distlock:other"]).unwrap(), "1");
}

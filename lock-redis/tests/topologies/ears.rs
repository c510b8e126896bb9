//! What a client of a cluster hears: the connection that has its subscriptions, and how many there are.

use std::time::Duration;

use lock_core::{AcquireRequest, Attempt, LockBackend};
use lock_redis::RedisBackend;
use testbed::proxy::Proxy;
use testbed::redis::{RedisServer, RedisShards};
use tokio::time::timeout;

use crate::support::{LONG, acquire_within, granted, release, request, until_waiting};

/// A master of all slots behind a proxy that all clients go through.
fn behind_a_proxy() -> (RedisShards, Proxy) {
    let proxy = Proxy::to(([127, 0, 0, 1], 1).into());
    let shards = RedisShards::start_announcing(&[Some(proxy.address().port())], &[]).unwrap();
    proxy.lead_to(([127, 0, 0, 1], shards.servers()[0].port()).into());
    (shards, proxy)
}

/// How many connections hear each channel of locks.
fn heard_by(server: &RedisServer) -> Vec<u64> {
    let channels = server.command(&["PUBSUB", "SHARDCHANNELS"]).unwrap();
    let mut words = vec!["PUBSUB", "SHARDNUMSUB"];
    words.extend(channels.lines());
    let answer = server.command(&words).unwrap();
    answer.lines().skip(1).step_by(2).map(|count| count.parse().unwrap()).collect()
}

/// Stands in line for the lock, which somebody holds, and leaves the place there.
async fn stand_in_line(backend: &RedisBackend, waiter: &AcquireRequest) {
    let Attempt::Held(seen) = backend.try_acquire(waiter).await.unwrap() else { panic!("granted") };
    assert!(timeout(Duration::from_millis(50), backend.wait(waiter, &seen)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_of_subscriptions_is_replaced_while_somebody_waits() {
    let (shards, proxy) = behind_a_proxy();
    let server = &shards.servers()[0];
    let builder = RedisBackend::cluster(shards.addresses()).with_call_limit(Duration::from_millis(500));
    let (holding, waiting) = (builder.clone().connect().await.unwrap(), builder.connect().await.unwrap());
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    granted(&holding, &holder).await;
    let hears_again = async {
        until_waiting(&holding, "k", 1).await;
        assert_eq!(heard_by(server), [1]);
        proxy.half_open();
        // The server knows nothing of the dead connection's death: the new one is the second.
        while heard_by(server) != [2] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let let_go = async {
        timeout(Duration::from_secs(10), hears_again).await.expect("deaf for ever");
        // Through connections of its own, which may have to be made anew.
        while holding.release(&holder.claim()).await.is_err() {}
    };
    tokio::join!(acquire_within(&waiting, &waiter, LONG), let_go);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_one_slot_share_a_channel_and_each_waiter_is_told_of_its_own() {
    let shards = RedisShards::start(1).unwrap();
    let client = || RedisBackend::cluster(shards.addresses()).with_prefix("{app}:").connect();
    let (a, b) = (client().await.unwrap(), client().await.unwrap());
    let held: Vec<_> = (0..50).map(|n| request(&format!("lock/{n}"), LONG)).collect();
    for holder in &held {
        granted(&a, holder).await;
        stand_in_line(&b, &request(holder.key().as_str(), LONG)).await;
    }
    assert_eq!(heard_by(&shards.servers()[0]), [1]);
    // Of a lock that isn't the one by whose name the channel goes.
    let waiter = request("last", LONG);
    let holder = request("last", LONG);
    granted(&a, &holder).await;
    tokio::join!(acquire_within(&b, &waiter, LONG), async {
        until_waiting(&a, "last", 1).await;
        release(&a, &holder).await;
    });
}

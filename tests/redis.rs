//! The facade on each kind of Redis that a URL can name: one server, Sentinel, a cluster, TLS.
#![cfg(feature = "redis")]

use std::time::Duration;

use distlock::AcquireError;
use testbed::redis::{RedisSentinels, RedisServer, RedisShards, RedisTls};

/// A lock is acquired, refused to another, renewed, handed to who waits, and released.
async fn a_lock_works_at(url: &str) {
    let (a, b) = (distlock::connect(url).await.unwrap(), distlock::connect(url).await.unwrap());
    // Long enough to be renewed twice.
    let held = a.lock("reports/nightly").ttl(Duration::from_millis(900)).acquire().await.unwrap();
    assert!(matches!(b.lock("reports/nightly").try_acquire().await.unwrap_err(), AcquireError::Held(_)));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(held.is_held());
    let token = held.fencing_token();
    let (next, released) = tokio::join!(b.lock("reports/nightly").acquire(), held.release());
    released.unwrap();
    let next = next.unwrap();
    assert!(next.fencing_token() > token);
    let listed = distlock::open(url).await.unwrap().list("").await.unwrap();
    assert_eq!(listed.iter().map(distlock::LockRecord::token).collect::<Vec<_>>(), [Some(next.fencing_token())]);
    next.release().await.unwrap();
}

#[tokio::test]
async fn one_server() {
    let server = RedisServer::start(&["--requirepass", "p@ss/word"]).unwrap();
    a_lock_works_at(&format!("redis://:p%40ss%2Fword@127.0.0.1:{}/3?prefix=app:", server.port())).await;
}

#[tokio::test]
async fn sentinel() {
    let sentinels = RedisSentinels::start().unwrap();
    a_lock_works_at(&sentinels.url()).await;
    a_lock_works_at(&format!("{}?database=3&min_replicas=1", sentinels.url())).await;
}

#[tokio::test]
async fn a_cluster() {
    let shards = RedisShards::start(2).unwrap();
    a_lock_works_at(&shards.url()).await;
    // All locks in one slot.
    a_lock_works_at(&format!("{}?prefix=%7Bapp%7D:", shards.url())).await;
}

#[tokio::test]
async fn tls() {
    let server = RedisTls::start(&[]).unwrap();
    a_lock_works_at(&server.url()).await;
    let unknown = format!("rediss://127.0.0.1:{}", server.port());
    assert!(distlock::connect(&unknown).await.unwrap_err().to_string().contains("ca="));
}

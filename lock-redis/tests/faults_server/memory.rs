//! A server whose memory is full.

use std::time::Duration;

use lock_core::{BreakOutcome, ErrorKind, LockAdmin, LockBackend, Outcome, Release, Renewal};
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire_within, connect, granted, key, release, renew, request, until_waiting};

#[tokio::test]
async fn fault_33_when_memory_is_full_acquiring_fails_and_letting_go_works() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let error = backend.try_acquire(&request("other", LONG)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ResourceExhausted, Outcome::NotApplied), "{error}");
    assert!(error.is_transient() && error.message().contains("OOM"), "{error}");
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
    assert_eq!(release(&backend, &holder).await, Release::Released);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert!(granted(&backend, &request("k", LONG)).await.token() > grant.token());
}

#[tokio::test]
async fn fault_33_a_waiter_gets_the_lock_that_was_released_while_memory_was_full() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    let grant = granted(&backend, &holder).await;
    let release = async {
        until_waiting(&backend, "k", 1).await;
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        assert_eq!(release(&backend, &holder).await, Release::Released);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    };
    let (next, ()) = tokio::join!(acquire_within(&backend, &waiter, Duration::from_secs(5)), release);
    assert!(next.token() > grant.token());
}

#[tokio::test]
async fn fault_33_a_lock_can_be_broken_while_memory_is_full() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    granted(&backend, &request("ours", LONG)).await;
    server.command(&["SET", "distlock:theirs", "x", "PX", "60000"]).unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    for name in ["ours", "theirs"] {
        assert!(matches!(backend.break_lock(&key(name), None).await.unwrap(), BreakOutcome::Broken(_)), "{name}");
        assert!(backend.inspect(&key(name)).await.unwrap().is_none(), "{name}");
    }
}

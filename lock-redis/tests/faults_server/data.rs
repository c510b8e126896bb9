//! What the server keeps and what it loses: scripts flushed, restarts, data gone.

use std::time::Instant;

use lock_core::{FencingToken, LockBackend, Release, Renewal};
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire, connect, granted, is_refused, release, renew, request, until_waiting};

#[tokio::test]
async fn fault_30_script_flush_is_survived() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    let grant = granted(&backend, &holder).await;
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(release(&backend, &holder).await, Release::Released);
}

#[tokio::test]
async fn fault_30_a_restart_that_keeps_the_data_keeps_the_lock() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.kill().unwrap();
    let error = renew(&backend, &holder, &grant).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.start_again().unwrap();
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
    assert!(is_refused(&backend, &request("k", LONG)).await);
}

#[tokio::test]
async fn fault_31_restart_with_data_lost_the_holder_is_lost_and_the_next_token_is_higher() {
    let mut server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, next) = (request("k", LONG), request("k", LONG));
    let grant = granted(&backend, &holder).await;
    server.kill().unwrap();
    server.start_again().unwrap();
    // The end of the connection may be noticed by this very call.
    let answer = match renew(&backend, &holder, &grant).await {
        Err(error) if error.is_transient() => renew(&backend, &holder, &grant).await,
        answer => answer,
    };
    assert_eq!(answer.unwrap(), Renewal::Lost);
    let after = granted(&backend, &next).await;
    assert!(after.token() > grant.token(), "{} after {}", after.token(), grant.token());
}

#[tokio::test]
async fn fault_31_flushall_frees_the_lock_and_tokens_keep_rising() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let mut last = FencingToken::new(0);
    for _ in 0..20 {
        // A row of hand-offs, whose tokens are one apart, must not run ahead of the clock either.
        let requests: Vec<_> = (0..20).map(|_| request("k", LONG)).collect();
        granted(&backend, &requests[0]).await;
        let waiting = async {
            for request in &requests[1..] {
                let grant = acquire(&backend, request).await.unwrap();
                assert!(grant.token() > last);
                last = grant.token();
                release(&backend, request).await;
            }
        };
        tokio::join!(waiting, async {
            until_waiting(&backend, "k", 1).await;
            release(&backend, &requests[0]).await;
        });
        server.command(&["FLUSHALL"]).unwrap();
    }
}

#[tokio::test]
async fn fault_31_who_waits_when_the_data_is_lost_waits_no_longer_than_its_look() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    granted(&backend, &request("k", LONG)).await;
    let waiter = request("k", LONG);
    let waiting = acquire(&backend, &waiter);
    let lost = async {
        until_waiting(&backend, "k", 1).await;
        server.command(&["FLUSHALL"]).unwrap();
        Instant::now()
    };
    let (grant, lost) = tokio::join!(waiting, lost);
    grant.unwrap();
    assert!(lost.elapsed() < backend.capabilities().wake_up_within());
}

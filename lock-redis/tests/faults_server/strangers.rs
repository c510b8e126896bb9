//! What others do to a lock's keys: other types, deletions, releases by the wrong owner, breaks.

use std::time::Duration;

use lock_core::{
    BreakOutcome, ErrorKind, FencingToken, Grant, LockAdmin, LockBackend, Outcome, Release, Renewal, Supervisor,
    SystemClock,
};
use testbed::redis::RedisServer;

use crate::support::{LONG, connect, granted, key, release, renew, request};

#[tokio::test]
async fn fault_34_a_key_of_another_type_is_an_error_and_nothing_is_half_done() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    server.command(&["HSET", "distlock:k", "field", "x"]).unwrap();
    // Of a script it isn't known how far it came.
    for (error, outcome) in [
        (backend.try_acquire(&request("k", LONG)).await.unwrap_err(), Outcome::Unknown),
        (backend.inspect(&key("k")).await.unwrap_err(), Outcome::NotApplied),
        (backend.break_lock(&key("k"), None).await.unwrap_err(), Outcome::Unknown),
        (backend.release(&request("k", LONG).claim()).await.unwrap_err(), Outcome::Unknown),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, outcome), "{error}");
        assert!(!error.is_transient() && error.key() == Some(&key("k")) && error.advice().is_some(), "{error}");
    }
    assert_eq!(server.command(&["KEYS", "*"]).unwrap(), "distlock:k");
    // A queue of another type can't hold anybody.
    server.command(&["SET", "{distlock:q}:queue", "x"]).unwrap();
    assert_eq!(backend.try_acquire(&request("q", LONG)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(server.command(&["EXISTS", "distlock:q", "{distlock:q}:last"]).unwrap(), "0");
    assert!(backend.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn fault_35_foreign_del_is_a_loss_at_the_next_renewal() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.command(&["DEL", "distlock:k"]).unwrap();
    assert_eq!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Lost);
    assert_eq!(release(&backend, &holder).await, Release::NotHeld);
    assert!(granted(&backend, &request("k", LONG)).await.token() > grant.token());
}

#[tokio::test]
async fn fault_35_a_wrong_owner_releases_and_renews_nothing() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, other) = (request("k", LONG), request("k", LONG));
    let grant = granted(&backend, &holder).await;
    assert_eq!(release(&backend, &other).await, Release::NotHeld);
    assert_eq!(renew(&backend, &other, &grant).await.unwrap(), Renewal::Lost);
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
}

#[tokio::test]
async fn fault_35_what_an_earlier_grant_says_renews_nothing() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    // The owner lost the lock and has been granted it anew; a renewal of the first grant was late.
    let earlier = Grant::new(FencingToken::new(grant.token().get() - 1), grant.ttl());
    assert_eq!(renew(&backend, &holder, &earlier).await.unwrap(), Renewal::Lost);
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
}

#[tokio::test]
async fn a_break_tells_the_holder_at_once() {
    let server = RedisServer::start(&[]).unwrap();
    let admin = connect(server.port()).await;
    let locks = Supervisor::builder(std::sync::Arc::new(connect(server.port()).await))
        .clock(std::sync::Arc::new(SystemClock::new(lock_core::LeaseClock::Boot)))
        .build();
    let guard = locks.lock("k").ttl(LONG).acquire().await.unwrap();
    assert!(matches!(admin.break_lock(&key("k"), None).await.unwrap(), BreakOutcome::Broken(_)));
    tokio::time::timeout(Duration::from_secs(2), guard.lost()).await.expect("the renewal is 10 to 20 s away");
}

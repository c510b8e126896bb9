//! Scripts that are stopped in their middle: nothing is rolled back.

use std::time::Duration;

use lock_core::{ErrorKind, LockBackend, Outcome};
use lock_redis::RedisBackend;
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire_within, connect, granted, release, renew, request, until_waiting};

/// A place in the queue whose owner nobody hears.
const DEAD: &str = r#"00000000000000000000000000000001 distlock:@nobody 500 "key":"k"}"#;

#[tokio::test]
async fn an_acquire_that_has_dropped_a_waiter_and_then_fails_is_not_told_as_not_applied() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    server.command(&["RPUSH", "{distlock:k}:queue", DEAD]).unwrap();
    server.command(&["RPUSH", "{distlock:k}:last", "not a token"]).unwrap();
    let error = backend.try_acquire(&request("k", LONG)).await.unwrap_err();
    assert_eq!(server.command(&["EXISTS", "{distlock:k}:queue"]).unwrap(), "0", "something was written");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::Unknown), "{error}");
}

#[tokio::test]
async fn a_command_that_a_user_may_not_run_within_a_script_is_permission_denied() {
    let server = RedisServer::start(&[]).unwrap();
    server.command(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&distlock:*", "+@all"]).unwrap();
    let builder = RedisBackend::server("127.0.0.1", server.port()).with_user("app").with_password("secret");
    let backend = builder.connect().await.unwrap();
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.command(&["ACL", "SETUSER", "app", "-pexpire"]).unwrap();
    let renewing = renew(&backend, &holder, &grant).await.unwrap_err();
    server.command(&["ACL", "SETUSER", "app", "+pexpire", "-lpop"]).unwrap();
    let releasing = backend.release(&holder.claim()).await.unwrap_err();
    for error in [renewing, releasing] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::PermissionDenied, Outcome::Unknown), "{error}");
        assert!(!error.is_transient() && error.advice().is_some_and(|advice| advice.contains("redis.md")), "{error}");
    }
}

#[tokio::test]
async fn who_may_not_publish_hands_the_lock_on_all_the_same() {
    let server = RedisServer::start(&[]).unwrap();
    server.command(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    let builder = RedisBackend::server("127.0.0.1", server.port()).with_user("app").with_password("secret");
    let (backend, waiting) = (builder.connect().await.unwrap(), connect(server.port()).await);
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    granted(&backend, &holder).await;
    server.command(&["ACL", "SETUSER", "app", "-publish"]).unwrap();
    let let_go = async {
        until_waiting(&waiting, "k", 1).await;
        release(&backend, &holder).await
    };
    let limit = Duration::from_secs(1);
    let (_, released) = tokio::join!(acquire_within(&waiting, &waiter, limit), let_go);
    assert_eq!(released, lock_core::Release::Released, "told as what it is, and the waiter's look finds the lock");
}

#[tokio::test]
async fn a_script_that_has_written_is_not_stopped_by_full_memory() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    server.command(&["RPUSH", "{distlock:k}:queue", DEAD]).unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    // So "full" always means that nothing was done.
    granted(&backend, &request("k", LONG)).await;
    let error = backend.try_acquire(&request("other", LONG)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ResourceExhausted, Outcome::NotApplied), "{error}");
}

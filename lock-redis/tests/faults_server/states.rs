//! A server that serves no writes at present: a replica, or busy.

use std::time::Duration;

use lock_core::{ErrorKind, LockBackend, Outcome};
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire_within, connect, granted, renew, request};

#[tokio::test]
async fn fault_36_readonly_loading_and_busy_are_transient_and_not_applied() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    let master = RedisServer::start(&[]).unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).unwrap();
    let error = backend.try_acquire(&request("other", LONG)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    assert!(error.is_transient() && error.message().contains("READONLY"), "{error}");
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    // Kept, or gone with the data, should it have followed its master for a moment: an answer in any case.
    renew(&backend, &holder, &grant).await.unwrap();

    server.command(&["CONFIG", "SET", "busy-reply-threshold", "50"]).unwrap();
    let cli = server.cli().clone();
    let script = std::thread::spawn(move || cli.run(&["EVAL", "while true do end", "0"]));
    let error = loop {
        match backend.try_acquire(&request("other", LONG)).await {
            Err(error) if error.message().contains("BUSY") => break error,
            Err(error) => assert!(error.is_transient(), "{error}"),
            Ok(_) => {}
        }
    };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    server.command(&["SCRIPT", "KILL"]).unwrap();
    assert!(script.join().unwrap().is_err());
    acquire_within(&backend, &request("third", LONG), Duration::from_secs(5)).await;
}

#[tokio::test]
async fn fault_36_a_demoted_master_that_lacks_a_lock_doesnt_tell_its_holder_that_it_is_lost() {
    let (server, successor) = (RedisServer::start(&[]).unwrap(), RedisServer::start(&[]).unwrap());
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    // Its successor has the lock; this one has nothing yet.
    server.command(&["FLUSHALL"]).unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", &successor.port().to_string()]).unwrap();
    for error in
        [renew(&backend, &holder, &grant).await.unwrap_err(), backend.release(&holder.claim()).await.unwrap_err()]
    {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
        assert!(error.is_transient() && error.message().contains("READONLY"), "{error}");
    }
}

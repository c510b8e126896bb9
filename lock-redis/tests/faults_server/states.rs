//! A server that serves no writes at present: a replica, or busy.

use std::time::{Duration, Instant};

use lock_core::{ErrorKind, LockBackend, Outcome, Supervisor};
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire_within, connect, granted, renew, request};

#[tokio::test]
async fn fault_36_readonly_and_busy_are_transient_and_not_applied() {
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

#[tokio::test(flavor = "multi_thread")]
async fn fault_36_a_server_that_loads_its_data_is_asked_again_and_the_holder_keeps_its_lock() {
    // A millisecond for each key, and an ear for clients after each.
    let slowly = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
    let mut server = RedisServer::start(&slowly).unwrap();
    let backend = connect(server.port()).await;
    let locks = Supervisor::new(connect(server.port()).await);
    let began = Instant::now();
    let guard = locks.lock("k").ttl(Duration::from_secs(5)).acquire().await.unwrap();
    server.command(&["EVAL", "for i = 1, 2000 do redis.call('SET', KEYS[1] .. i, 'x') end", "1", "filler"]).unwrap();
    server.command(&["SAVE"]).unwrap();
    server.kill().unwrap();
    let starting = tokio::task::spawn_blocking(move || {
        server.start_again().unwrap();
        server
    });
    let other = request("other", LONG);
    let error = loop {
        match backend.try_acquire(&other).await {
            Err(error) if error.message().contains("LOADING") => break error,
            Err(error) => assert!(error.is_transient(), "{error}"),
            Ok(_) => panic!("it has loaded before anybody saw it"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    assert!(error.is_transient() && !starting.is_finished(), "{error}");
    let _server = starting.await.unwrap();
    // Renewals failed meanwhile; one before the deadline didn't.
    tokio::time::sleep((Duration::from_secs(6)).saturating_sub(began.elapsed())).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
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

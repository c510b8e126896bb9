//! A lock that is handed over: what the waiter may believe of the message, and for how long.

mod support;

use std::time::{Duration, Instant};

use lock_core::{AcquireRequest, Attempt, BreakOutcome, LockAdmin, LockBackend};
use lock_redis::RedisBackend;
use support::{LONG, connect, granted, key, release, renew, request, until_waiting};
use testbed::redis::RedisServer;
use tokio::time::sleep;

/// A waiter that was told of its turn, on a server of its own.
async fn handed() -> (RedisServer, RedisBackend, AcquireRequest) {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, waiter) = (request("k", LONG), request("k", LONG).with_waiting(true));
    granted(&backend, &holder).await;
    let Attempt::Held(seen) = backend.try_acquire(&waiter).await.unwrap() else { panic!("granted") };
    let wait = async { backend.wait(&waiter, &seen).await.unwrap() };
    let hand_over = async {
        until_waiting(&backend, "k", 1).await;
        release(&backend, &holder).await;
    };
    tokio::join!(wait, hand_over);
    (server, backend, waiter)
}

#[tokio::test]
async fn the_message_is_the_grant_and_its_lease_is_short_until_it_is_renewed() {
    let (server, backend, waiter) = handed().await;
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let began = Instant::now();
    let grant = granted(&backend, &waiter).await;
    let asked: Vec<_> = server.commands().unwrap().into_iter().filter(|(name, _)| name.starts_with("eval")).collect();
    assert!(asked.is_empty(), "{asked:?}");
    let left = || server.command(&["PTTL", "distlock:k"]).unwrap().parse().map(Duration::from_millis).unwrap();
    let (lives, left_then) = (grant.lives(), left() + began.elapsed());
    assert!(lives <= left_then && lives > Duration::from_secs(1), "{lives:?} of {left_then:?}");
    assert_eq!(grant.ttl().get(), LONG);
    renew(&backend, &waiter, &grant).await.unwrap();
    assert!(left() > LONG / 2);
}

#[tokio::test]
async fn who_comes_late_for_its_turn_asks() {
    let (_server, backend, waiter) = handed().await;
    sleep(Duration::from_millis(1_100)).await;
    let grant = granted(&backend, &waiter).await;
    assert_eq!(grant.lives(), LONG, "the server was asked, and gave the whole TTL");
}

#[tokio::test]
async fn who_comes_too_late_for_its_turn_has_lost_it() {
    let (_server, backend, waiter) = handed().await;
    sleep(Duration::from_millis(2_100)).await;
    let next = granted(&backend, &request("k", LONG)).await;
    let Attempt::Held(seen) = backend.try_acquire(&waiter).await.unwrap() else { panic!("two hold it") };
    assert_eq!(seen.record().token(), Some(next.token()));
}

#[tokio::test]
async fn a_turn_that_was_broken_meanwhile_is_none() {
    let (_server, backend, waiter) = handed().await;
    assert!(matches!(backend.break_lock(&key("k"), None).await.unwrap(), BreakOutcome::Broken(_)));
    let next = granted(&backend, &request("k", LONG)).await;
    let Attempt::Held(seen) = backend.try_acquire(&waiter).await.unwrap() else { panic!("two hold it") };
    assert_eq!(seen.record().token(), Some(next.token()));
}

/// The channel on which the only client listens.
fn channel(server: &RedisServer) -> String {
    server.command(&["PUBSUB", "CHANNELS", "distlock:@*"]).unwrap()
}

#[tokio::test]
async fn a_message_that_comes_late_takes_nothing_away() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let channel = channel(&server);
    let other = connect(server.port()).await;
    // Of a holder that this client doesn't know of (any more, or yet), and of one that it knows.
    let (unknown, known) = (request("unknown", LONG), request("known", LONG));
    let (first, second) = (granted(&other, &unknown).await, granted(&backend, &known).await);
    for (request, grant) in [(&unknown, &first), (&known, &second)] {
        let (owner, earlier) = (request.owner(), grant.token().get() - 1);
        let message = format!("{owner} {earlier} distlock:{}", request.key());
        assert_eq!(server.command(&["PUBLISH", &channel, &message]).unwrap(), "1");
    }
    sleep(Duration::from_millis(200)).await;
    for (request, grant) in [(&unknown, &first), (&known, &second)] {
        let record = backend.inspect(request.key()).await.unwrap().expect("nobody let it go");
        assert_eq!(record.token(), Some(grant.token()));
    }
    // The very grant is passed on if nobody is there for it.
    let message = format!("{} {} distlock:unknown", unknown.owner(), first.token());
    server.command(&["PUBLISH", &channel, &message]).unwrap();
    for _ in 0..200 {
        if backend.inspect(unknown.key()).await.unwrap().is_none() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("a lock that was handed to nobody is kept");
}

#[tokio::test]
async fn a_second_place_of_a_holder_that_has_lost_its_lock_holds_nobody_up() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let channel = channel(&server);
    let holder = request("k", LONG);
    granted(&backend, &holder).await;
    let entry = format!("{} {channel} 2000 \"key\":\"k\"}}", holder.owner());
    server.command(&["RPUSH", "{distlock:k}:queue", &entry]).unwrap();
    server.command(&["DEL", "distlock:k"]).unwrap();
    let next = request("k", LONG);
    let began = Instant::now();
    assert!(matches!(backend.try_acquire(&next).await.unwrap(), Attempt::Held(_)), "the second place goes first");
    support::acquire(&backend, &next).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn fault_05_a_place_that_a_refused_try_takes_after_its_withdrawal_holds_nobody_up() {
    let server = RedisServer::start(&[]).unwrap();
    let proxy = testbed::proxy::Proxy::to(([127, 0, 0, 1], server.port()).into());
    let far = RedisBackend::server("127.0.0.1", proxy.address().port());
    let far = far.with_call_limit(Duration::from_millis(300)).connect().await.unwrap();
    let near = connect(server.port()).await;
    let holder = request("k", LONG);
    granted(&near, &holder).await;
    assert!(matches!(far.try_acquire(&request("k", LONG)).await.unwrap(), Attempt::Held(_)));
    let late = request("k", LONG).with_waiting(true);
    proxy.deliver_late_request_containing(b"ttl_ms");
    far.try_acquire(&late).await.unwrap_err();
    assert_eq!(release(&far, &late).await, lock_core::Release::NotHeld);
    let proxy = tokio::task::spawn_blocking(move || {
        proxy.deliver_late();
        proxy
    });
    let _proxy = proxy.await.unwrap();
    until_waiting(&near, "k", 1).await;
    release(&near, &holder).await;
    let next = request("k", LONG).with_waiting(true);
    let began = Instant::now();
    support::acquire(&near, &next).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_waits_while_memory_is_full_is_served_once_it_is_not() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    granted(&backend, &holder).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let waiter = request("k", LONG).with_waiting(true);
    let error = backend.try_acquire(&waiter).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    let let_go = async {
        until_waiting(&backend, "k", 1).await;
        release(&backend, &holder).await;
    };
    let (grant, ()) = tokio::join!(support::acquire(&backend, &waiter), let_go);
    assert_eq!(grant.unwrap().ttl().get(), LONG);
}

#[tokio::test]
async fn calls_that_are_given_up_before_they_are_sent_are_not_sent() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    // With a connection: else all would wait for that.
    granted(&backend, &request("first", LONG)).await;
    let requests: Vec<_> = (0..50).map(|n| request(&format!("k{n}"), LONG)).collect();
    let mut calls: Vec<_> = requests.iter().map(|request| backend.try_acquire(request)).collect();
    // All are begun, and none but the first few was handed to the driver.
    std::future::poll_fn(|context| {
        for call in &mut calls {
            assert!(call.as_mut().poll(context).is_pending());
        }
        std::task::Poll::Ready(())
    })
    .await;
    calls.truncate(1);
    for call in calls {
        call.await.unwrap();
    }
    granted(&backend, &request("last", LONG)).await;
    let sent: u32 =
        server.command(&["EVAL", "return #redis.call('KEYS', 'distlock:k*')", "0"]).unwrap().parse().unwrap();
    assert!((1..=4).contains(&sent), "{sent} locks were taken for callers that had gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_are_all_answered() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = std::sync::Arc::new(connect(server.port()).await);
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let backend = backend.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let request = request(&format!("k{n}"), LONG);
                    let grant = granted(&backend, &request).await;
                    renew(&backend, &request, &grant).await.unwrap();
                    assert_eq!(release(&backend, &request).await, lock_core::Release::Released);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_runtime_that_ends_while_it_sends_for_others_holds_nobody_up() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let first = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _inside = runtime.enter();
            // The last ones are to be sent by a task of this runtime, which never runs.
            let requests: Vec<_> = (0..10).map(|n| request(&format!("k{n}"), LONG)).collect();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let mut calls: Vec<_> = requests.iter().map(|request| backend.try_acquire(request)).collect();
            calls.iter_mut().map(|call| call.as_mut().poll(&mut context)).filter(std::task::Poll::is_pending).count()
        });
        other.join().unwrap()
    });
    assert_eq!(first, 10);
    granted(&backend, &request("k", LONG)).await;
}

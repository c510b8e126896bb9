//! Waiters that hang, die or give up, and newcomers that would overtake them.

use std::time::{Duration, Instant};

use lock_core::{Attempt, LockBackend, Release};
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire, connect, granted, is_refused, release, request, until_waiting};

#[tokio::test]
async fn a_hung_waiter_delays_the_next_by_two_seconds_at_most_and_a_dead_one_not_at_all() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, hung, next) =
        (connect(server.port()).await, connect(server.port()).await, connect(server.port()).await);
    let (holder, waits) = (request("k", LONG), request("k", LONG));
    granted(&holding, &holder).await;
    // Alive, and never coming back for the lock.
    let gone = request("k", LONG);
    let Attempt::Held(seen) = hung.try_acquire(&gone).await.unwrap() else { panic!("granted") };
    assert!(tokio::time::timeout(Duration::from_millis(100), hung.wait(&gone, &seen)).await.is_err());
    let release_it = async {
        until_waiting(&holding, "k", 2).await;
        release(&holding, &holder).await;
        Instant::now()
    };
    let (grant, released) = tokio::join!(acquire(&next, &waits), release_it);
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(2_500), "{:?}", released.elapsed());

    // Dead: its connection is gone.
    let gone = request("k", LONG);
    let Attempt::Held(seen) = hung.try_acquire(&gone).await.unwrap() else { panic!("granted") };
    assert!(tokio::time::timeout(Duration::from_millis(100), hung.wait(&gone, &seen)).await.is_err());
    let last = request("k", LONG);
    let release_it = async {
        until_waiting(&holding, "k", 2).await;
        drop(hung);
        // The server has seen the end: of three clients, two listen.
        while server.command(&["PUBSUB", "CHANNELS"]).unwrap().lines().count() > 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        release(&next, &waits).await;
        Instant::now()
    };
    let (grant, released) = tokio::join!(acquire(&holding, &last), release_it);
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(300), "{:?}", released.elapsed());
}

#[tokio::test]
async fn after_an_expiry_the_first_waiter_is_served_and_newcomers_are_not() {
    let server = RedisServer::start(&[]).unwrap();
    let (a, b) = (connect(server.port()).await, connect(server.port()).await);
    granted(&a, &request("k", Duration::from_millis(700))).await;
    let waiter = request("k", LONG);
    let newcomers = async {
        until_waiting(&a, "k", 1).await;
        let end = Instant::now() + Duration::from_millis(1_200);
        while Instant::now() < end {
            assert!(is_refused(&a, &request("k", LONG)).await, "a newcomer overtook");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (grant, ()) = tokio::join!(acquire(&b, &waiter), newcomers);
    grant.unwrap();
}

#[tokio::test]
async fn a_short_lease_that_ends_before_the_first_look_is_found_free_at_its_end() {
    let server = RedisServer::start(&[]).unwrap();
    let (a, b) = (connect(server.port()).await, connect(server.port()).await);
    let mut fastest = Duration::MAX;
    // The fastest of some: what delays one on a busy machine isn't meant.
    for _ in 0..10 {
        granted(&a, &request("k", Duration::from_millis(40))).await;
        let (began, waiter) = (Instant::now(), request("k", LONG).with_waiting(true));
        acquire(&b, &waiter).await.unwrap();
        fastest = fastest.min(began.elapsed());
        release(&b, &waiter).await;
    }
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}

#[tokio::test]
async fn a_lock_kept_for_a_waiter_that_gave_up_goes_to_the_next() {
    let server = RedisServer::start(&[]).unwrap();
    let (a, b) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, gone, next) = (request("k", LONG), request("k", LONG), request("k", LONG));
    granted(&a, &holder).await;
    let Attempt::Held(seen) = b.try_acquire(&gone).await.unwrap() else { panic!("granted") };
    assert!(tokio::time::timeout(Duration::from_millis(100), b.wait(&gone, &seen)).await.is_err());
    assert_eq!(release(&b, &gone).await, Release::NotHeld);
    // A place that arrives after its withdrawal, as a delayed packet would bring it.
    let channel = server.command(&["PUBSUB", "CHANNELS"]).unwrap();
    let channels: Vec<_> = channel.lines().collect();
    for channel in &channels {
        let entry = format!("{} {channel} 2000 \"key\":\"k\"}}", gone.owner());
        server.command(&["RPUSH", "{distlock:k}:queue", &entry]).unwrap();
    }
    let release_it = async {
        until_waiting(&a, "k", channels.len() as u64 + 1).await;
        release(&a, &holder).await;
        Instant::now()
    };
    let (grant, released) = tokio::join!(acquire(&a, &next), release_it);
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(400), "{:?}", released.elapsed());
}

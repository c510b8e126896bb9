//! Messages that get lost, and waiters that don't hear.

use std::time::{Duration, Instant};

use lock_core::{Attempt, LockBackend};
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire, acquire_within, connect, granted, release, request, until_waiting};

/// Hands the lock to the first waiter as a release does, and the message gets lost.
const HAND_ON_IN_SILENCE: &str = r#"
    local owner, body = string.match(redis.call('LPOP', KEYS[2]), '^(%x+) %S+ %d+ (.*)$')
    redis.call('SET', KEYS[1], '{"token":' .. ARGV[1] .. ',"owner":"' .. owner .. '","at":1790000000000000,' .. body, 'PX', 500)
    return redis.status_reply('OK')"#;

#[tokio::test]
async fn fault_37_a_dropped_message_costs_a_look_and_not_the_turn() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, waiting) = (connect(server.port()).await, connect(server.port()).await);
    for after in [0, 100, 200, 280] {
        let (holder, first, second) = (request("k", LONG), request("k", LONG), request("k", LONG));
        let held = granted(&holding, &holder).await;
        let hand_on = async {
            until_waiting(&holding, "k", 2).await;
            tokio::time::sleep(Duration::from_millis(after)).await;
            let token = (held.token().get() + 1).to_string();
            let words = ["EVAL", HAND_ON_IN_SILENCE, "2", "distlock:k", "{distlock:k}:queue", &token];
            server.command(&words).unwrap();
            Instant::now()
        };
        let in_turn = async {
            let grant = acquire(&waiting, &first).await.unwrap();
            let taken = Instant::now();
            release(&waiting, &first).await;
            (grant, taken)
        };
        let behind = async {
            until_waiting(&holding, "k", 1).await;
            let grant = acquire(&holding, &second).await.unwrap();
            release(&holding, &second).await;
            grant
        };
        let (handed_on, (grant, taken), next) = tokio::join!(hand_on, in_turn, behind);
        assert_eq!(grant.token().get(), held.token().get() + 1, "after {after} ms it came too late for what was kept");
        assert!(next.token() > grant.token(), "after {after} ms the second came first");
        assert!(taken - handed_on < Duration::from_millis(500), "{:?}", taken - handed_on);
    }
}

#[tokio::test]
async fn fault_37_a_lock_that_is_deleted_is_found_free_within_the_fallback() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, waiting) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    let first = granted(&holding, &holder).await;
    let free = async {
        until_waiting(&holding, "k", 1).await;
        // Freed by somebody who publishes nothing.
        server.command(&["DEL", "distlock:k"]).unwrap();
        Instant::now()
    };
    let (grant, freed) = tokio::join!(acquire(&waiting, &waiter), free);
    assert!(grant.unwrap().token() > first.token());
    assert!(freed.elapsed() < waiting.capabilities().wake_up_within(), "{:?}", freed.elapsed());
}

#[tokio::test]
async fn fault_37_a_waiter_whose_connection_was_cut_hears_again() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, waiting) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    granted(&holding, &holder).await;
    let cut = async {
        until_waiting(&holding, "k", 1).await;
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        until_waiting(&holding, "k", 1).await;
        release(&holding, &holder).await;
        Instant::now()
    };
    let (_, released) = tokio::join!(acquire_within(&waiting, &waiter, Duration::from_secs(10)), cut);
    // By message, or by a look at worst.
    assert!(released.elapsed() < Duration::from_millis(400), "{:?}", released.elapsed());
}

#[tokio::test]
async fn who_lost_its_place_stands_in_line_again() {
    let server = RedisServer::start(&[]).unwrap();
    let (a, b) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    granted(&a, &holder).await;
    let (grant, released) = tokio::join!(acquire(&b, &waiter), async {
        until_waiting(&a, "k", 1).await;
        server.command(&["DEL", "{distlock:k}:queue"]).unwrap();
        until_waiting(&a, "k", 1).await;
        release(&a, &holder).await;
        Instant::now()
    });
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(300), "{:?}", released.elapsed());
}

#[tokio::test]
async fn a_wait_that_begins_after_the_release_is_over_at_once() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, late) = (request("k", LONG), request("k", LONG));
    granted(&backend, &holder).await;
    let Attempt::Held(seen) = backend.try_acquire(&late).await.unwrap() else { panic!("granted") };
    release(&backend, &holder).await;
    let began = Instant::now();
    backend.wait(&late, &seen).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    granted(&backend, &late).await;
}

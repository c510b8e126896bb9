//! Clocks that jump, and numbers that are large.

use std::time::Duration;

use lock_core::{AcquireRequest, FencingToken};
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire, connect, granted, release, request, until_waiting};

/// The server's clock, in microseconds.
fn clock(server: &RedisServer) -> u64 {
    let told = server.command(&["TIME"]).unwrap();
    let (seconds, micros) = told.split_once('\n').unwrap();
    seconds.parse::<u64>().unwrap() * 1_000_000 + micros.trim().parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_token_is_the_servers_time_also_at_the_beginning_of_a_second() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    // Three times in the first tenth of a second, where its microseconds have fewer digits.
    let mut early = 0;
    for n in 0..50 {
        tokio::time::sleep(Duration::from_micros(1_000_100 - clock(&server) % 1_000_000)).await;
        let before = clock(&server);
        let token = granted(&backend, &request(&format!("k{n}"), LONG)).await.token().get();
        let after = clock(&server);
        assert!((before..=after).contains(&token), "{token} isn't between {before} and {after}");
        early += u64::from(token % 1_000_000 < 100_000);
        if early == 3 {
            return;
        }
    }
    panic!("never in time");
}

#[tokio::test]
async fn the_last_token_lives_for_a_week_from_each_grant() {
    const WEEK_MS: i64 = 7 * 24 * 3_600_000;
    /// The expiry is set once in so long.
    const DAY_MS: i64 = 28 * 3_600_000;
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let lives_for_a_week = |what: &str| {
        let left: i64 = server.command(&["PTTL", "{distlock:k}:last"]).unwrap().parse().unwrap();
        assert!((WEEK_MS..=WEEK_MS + DAY_MS).contains(&left), "{what}: {left}");
    };
    // Granted the day before, and so long ago that it would soon be forgotten.
    let is_of_yesterday = || {
        let yesterday = clock(&server) - 28 * 3_600_000_000;
        server.command(&["SET", "{distlock:k}:last", &yesterday.to_string(), "PX", "100000"]).unwrap();
    };
    let hand_off = async |holder: &AcquireRequest, waiter: &AcquireRequest| {
        let (handed, ()) = tokio::join!(acquire(&backend, waiter), async {
            until_waiting(&backend, "k", 1).await;
            release(&backend, holder).await;
        });
        handed.unwrap().token().get()
    };
    let requests = [(); 5].map(|()| request("k", LONG));
    granted(&backend, &requests[0]).await;
    lives_for_a_week("a grant");
    is_of_yesterday();
    hand_off(&requests[0], &requests[1]).await;
    lives_for_a_week("a hand-off");
    hand_off(&requests[1], &requests[2]).await;
    lives_for_a_week("a hand-off of the same day");
    server.command(&["DEL", "{distlock:k}:last"]).unwrap();
    let token = hand_off(&requests[2], &requests[3]).await;
    lives_for_a_week("a hand-off after the server had lost the last token");
    // The last token is ahead of the clock.
    server.command(&["SET", "{distlock:k}:last", &(token + 3_600_000_000).to_string()]).unwrap();
    release(&backend, &requests[3]).await;
    granted(&backend, &requests[4]).await;
    lives_for_a_week("a grant after the clock went back");
    release(&backend, &requests[4]).await;
    is_of_yesterday();
    granted(&backend, &request("k", LONG)).await;
    lives_for_a_week("a grant of the next day");
}

/// The clock itself isn't moved, which would take a library loaded into the server: the last token is what a server leaves
/// whose clock was another one at the time.
#[tokio::test]
async fn fault_37_a_clock_that_jumps_an_hour_ahead_makes_higher_tokens() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let behind = clock(&server) - 3_600_000_000;
    server.command(&["SET", "{distlock:k}:last", &behind.to_string()]).unwrap();
    assert!(granted(&backend, &request("k", LONG)).await.token().get() > behind + 3_600_000_000 - 1);
}

/// Faked as above: an hour ahead at the first grant.
#[tokio::test]
async fn fault_37_a_clock_that_ran_ahead_and_was_set_back_leaves_tokens_rising() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let ahead = granted(&backend, &request("k", LONG)).await.token().get() + 3_600_000_000;
    server.command(&["DEL", "distlock:k"]).unwrap();
    server.command(&["SET", "{distlock:k}:last", &ahead.to_string()]).unwrap();
    let mut last = FencingToken::new(ahead);
    for _ in 0..5 {
        let holder = request("k", LONG);
        let token = granted(&backend, &holder).await.token();
        assert!(token > last, "{token} after {last}");
        last = token;
        release(&backend, &holder).await;
    }
    assert!(last.get() < ahead + 100, "tokens run ahead: {last} after {ahead}");
}

#[tokio::test]
async fn tokens_beyond_what_a_double_holds_are_exact() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    for (last, next) in [
        ("9007199254740993", 9_007_199_254_740_994),
        ("9007199999999999", 9_007_200_000_000_000),
        ("999999999999999999", 1_000_000_000_000_000_000),
        ("1799999999999999999", 1_800_000_000_000_000_000),
    ] {
        server.command(&["SET", "{distlock:k}:last", last]).unwrap();
        let (holder, waiter) = (request("k", LONG), request("k", LONG));
        assert_eq!(granted(&backend, &holder).await.token().get(), next, "after {last}");
        let (handed, ()) = tokio::join!(acquire(&backend, &waiter), async {
            until_waiting(&backend, "k", 1).await;
            release(&backend, &holder).await;
        });
        assert_eq!(handed.unwrap().token().get(), next + 1);
        release(&backend, &waiter).await;
        let again = request("k", LONG);
        assert_eq!(granted(&backend, &again).await.token().get(), next + 2);
        release(&backend, &again).await;
    }
    // What isn't a token is none.
    server.command(&["SET", "{distlock:k}:last", "garbage"]).unwrap();
    granted(&backend, &request("k", LONG)).await;
}

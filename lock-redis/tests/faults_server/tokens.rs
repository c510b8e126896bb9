//! Clocks that jump, and numbers that are large.

use lock_core::FencingToken;
use testbed::redis::RedisServer;

use crate::support::{LONG, acquire, connect, granted, release, request, until_waiting};

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
    }
    // What isn't a token is none.
    server.command(&["SET", "{distlock:k}:last", "garbage"]).unwrap();
    granted(&backend, &request("k", LONG)).await;
}

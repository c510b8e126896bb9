//! Clients that know nothing of us: `SET name value NX PX ttl`, and delete if one's own.

mod support;

use std::time::Duration;

use lock_core::{BreakOutcome, HolderInfo, Label, LockAdmin, LockKey, Release};
use lock_redis::RedisBackend;
use support::{LONG, acquire, connect, granted, is_refused, key, release, request};
use testbed::redis::RedisServer;

const DELETE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

#[tokio::test]
async fn a_redlock_client_excludes_us_and_we_exclude_it() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let name = "distlock:reports%2Fnightly";
    assert_eq!(server.command(&["SET", name, "theirs", "NX", "PX", "60000"]).unwrap(), "OK");
    assert!(is_refused(&backend, &request("reports/nightly", LONG)).await);
    let record = backend.inspect(&key("reports/nightly")).await.unwrap().unwrap();
    assert_eq!((record.owner(), record.token(), record.host()), (None, None, None));
    assert!(record.expires_in().is_some_and(|left| left > Duration::from_secs(50)));
    let listed = backend.list("").await.unwrap();
    assert_eq!(listed.iter().map(lock_core::LockRecord::key).collect::<Vec<_>>(), [&key("reports/nightly")]);
    assert_eq!(release(&backend, &request("reports/nightly", LONG)).await, Release::NotHeld);
    assert_eq!(server.command(&["EVAL", DELETE, "1", name, "theirs"]).unwrap(), "1");

    let ours = request("reports/nightly", LONG);
    granted(&backend, &ours).await;
    assert_eq!(server.command(&["SET", name, "theirs", "NX", "PX", "60000"]).unwrap(), "");
    assert_eq!(server.command(&["EVAL", DELETE, "1", name, "theirs"]).unwrap(), "0");
    assert_eq!(release(&backend, &ours).await, Release::Released);
    assert_eq!(server.command(&["SET", name, "theirs", "NX", "PX", "60000"]).unwrap(), "OK");
}

#[tokio::test]
async fn we_wait_for_a_foreign_holder_by_looking() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    server.command(&["SET", "distlock:k", "theirs", "NX", "PX", "60000"]).unwrap();
    let waiter = request("k", LONG);
    let (grant, ()) = tokio::join!(acquire(&backend, &waiter), async {
        support::until_waiting(&backend, "k", 1).await;
        server.command(&["EVAL", DELETE, "1", "distlock:k", "theirs"]).unwrap();
    });
    grant.unwrap();
}

#[tokio::test]
async fn a_foreign_lock_can_be_broken_and_tokens_rise_over_it() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let first = request("k", LONG);
    let before = granted(&backend, &first).await.token();
    release(&backend, &first).await;
    server.command(&["SET", "distlock:k", "theirs", "NX"]).unwrap();
    let wrong = backend.break_lock(&key("k"), Some(before)).await.unwrap();
    assert!(matches!(wrong, BreakOutcome::TokenDiffers(_)));
    assert!(matches!(backend.break_lock(&key("k"), None).await.unwrap(), BreakOutcome::Broken(_)));
    assert!(granted(&backend, &request("k", LONG)).await.token() > before);
}

#[tokio::test]
async fn the_record_can_be_read_with_redis_cli() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let ours = request("k", LONG);
    let grant = granted(&backend, &ours).await;
    let text = server.command(&["GET", "distlock:k"]).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["token"].as_u64(), Some(grant.token().get()));
    assert_eq!(record["owner"].as_str(), Some(ours.owner().to_string().as_str()));
    assert_eq!(record["pid"].as_u64(), Some(u64::from(std::process::id())));
    assert!(server.command(&["PTTL", "distlock:k"]).unwrap().parse::<i64>().unwrap() > 50_000);
}

#[tokio::test]
async fn a_listing_without_a_prefix_fetches_no_huge_values_and_skips_what_is_no_string() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = RedisBackend::server("127.0.0.1", server.port()).with_prefix("").connect().await.unwrap();
    // Theirs: a session cache, things of other types, a setting without an end.
    for n in 0..8 {
        server.command(&["SETRANGE", &format!("cache{n}"), "10000000", "x"]).unwrap();
        server.command(&["PEXPIRE", &format!("cache{n}"), "600000"]).unwrap();
    }
    server.command(&["HSET", "hash", "field", "x"]).unwrap();
    server.command(&["SETRANGE", "setting", "10000000", "x"]).unwrap();
    // The longest that a record of ours can be.
    let longest = Label::new("\u{1}".repeat(Label::MAX_LEN)).unwrap();
    let ours = request(&"\u{1}".repeat(LockKey::MAX_LEN), LONG)
        .with_holder(HolderInfo::this_process().with_label(longest).into());
    granted(&backend, &ours).await;
    let sent = || {
        let stats = server.command(&["INFO", "stats"]).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap().to_owned();
        line.trim().parse::<u64>().unwrap()
    };
    let before = sent();
    let listed = backend.list("").await.unwrap();
    assert_eq!(backend.inspect(&key("cache1")).await.unwrap().unwrap().owner(), None);
    assert!(sent() - before < 1_000_000, "{} bytes were sent", sent() - before);
    assert_eq!(listed.len(), 9, "{listed:?}");
    let ours = listed.iter().find(|record| record.owner() == Some(ours.owner())).expect("the longest record of ours");
    assert!(ours.token().is_some() && ours.label().is_some());
}

//! The command on each kind of Redis that a URL can name: one server, Sentinel, a cluster, TLS.
#![cfg(feature = "redis")]

mod support;

use support::{Place, stderr, stdout};
use testbed::redis::{RedisSentinels, RedisServer, RedisShards, RedisTls};

/// The check has something to say: a test's server keeps nothing on disk.
fn all_commands_work_at(url: &str) {
    let doctor = support::all_commands_work_at(url);
    assert_eq!(doctor.status.code(), Some(1), "{}{}", stdout(&doctor), stderr(&doctor));
}

#[test]
fn one_server() {
    let server = RedisServer::start(&["--requirepass", "hunter2"]).unwrap();
    let url = format!("redis://:hunter2@127.0.0.1:{}/3?prefix=app:", server.port());
    all_commands_work_at(&url);
    let wrong = url.replace("hunter2", "hunter3");
    let refused = Place::new().output(&["status", "--url", &wrong, "k"]);
    assert_eq!(refused.status.code(), Some(77));
    assert!(!stderr(&refused).contains("hunter"), "{}", stderr(&refused));
}

#[test]
fn sentinel() {
    let sentinels = RedisSentinels::start().unwrap();
    all_commands_work_at(&sentinels.url());
}

#[test]
fn a_cluster() {
    let shards = RedisShards::start(2).unwrap();
    all_commands_work_at(&shards.url());
}

#[test]
fn tls() {
    let server = RedisTls::start(&[]).unwrap();
    all_commands_work_at(&server.url());
    let unknown = format!("rediss://127.0.0.1:{}", server.port());
    let refused = Place::new().output(&["status", "--url", &unknown, "k"]);
    assert_eq!(refused.status.code(), Some(69), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("ca="), "{}", stderr(&refused));
}

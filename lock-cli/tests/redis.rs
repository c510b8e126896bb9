//! The command on each kind of Redis that a URL can name: one server, Sentinel, a cluster, TLS.
#![cfg(feature = "redis")]

mod support;

use support::{Place, stderr, stdout};
use testbed::redis::{RedisSentinels, RedisServer, RedisShards, RedisTls};

/// Held, seen, refused, handed on, checked, broken: all by this URL.
fn all_commands_work_at(url: &str) {
    let place = Place::new();
    let with = |command: &'static str, more: &[&str]| {
        let arguments: Vec<_> = [command, "--url", url].iter().chain(more).copied().map(str::to_owned).collect();
        place.distlock(arguments).output().unwrap()
    };
    let token = |output: &std::process::Output| stdout(output).trim().parse::<u64>().unwrap();
    let script = ["k", "--", "sh", "-c", "echo $DISTLOCK_TOKEN"];
    let first = with("run", &script);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(with("status", &["k"]).status.code(), Some(1));

    let held = place.hold("k", &["--url", url], "echo $DISTLOCK_TOKEN; exec sleep 1000");
    assert!(held.line.parse::<u64>().unwrap() > token(&first));
    let status = with("status", &["--json", "k"]);
    assert_eq!(status.status.code(), Some(0), "{}", stderr(&status));
    assert!(stdout(&status).contains(&format!("\"token\":{}", held.line)), "{}", stdout(&status));
    assert_eq!(with("run", &["--no-wait", "k", "--", "true"]).status.code(), Some(75));
    assert!(stdout(&with("list", &[])).contains('k'));
    let doctor = with("doctor", &[]);
    // Not all that a test's server is told of: it keeps nothing on disk.
    assert_eq!(doctor.status.code(), Some(1), "{}{}", stdout(&doctor), stderr(&doctor));

    // Somebody waits, and the lock is taken from its holder, who hears of it at once and stops its command.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| with("run", &["--wait", "60s", "k", "--", "sh", "-c", "echo $DISTLOCK_TOKEN"]));
        let broken = with("break", &["--if-token", &held.line, "k"]);
        assert_eq!(broken.status.code(), Some(0), "{}", stderr(&broken));
        waiting.join().unwrap()
    });
    assert_eq!(waiting.status.code(), Some(0), "{}", stderr(&waiting));
    assert!(token(&waiting) > held.line.parse().unwrap());
    assert_eq!(held.end().0, Some(79));
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

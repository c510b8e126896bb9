//! The command on a real Consul agent, as a URL names it: plain, with a token, with TLS.
#![cfg(feature = "consul")]

mod support;

use support::{Place, eventually, stderr, stdout};
use testbed::consul::{Agent, Settings};

const MASTER: &str = "b19b0550-0000-4000-8000-000000000000";

/// Held, seen, refused, handed on, checked, broken: all by this URL.
fn all_commands_work_at(url: &str) {
    let place = Place::new();
    let with = |command: &'static str, more: &[&str]| {
        let arguments: Vec<_> = [command, "--url", url].iter().chain(more).copied().map(str::to_owned).collect();
        place.distlock(arguments).env_remove("CONSUL_HTTP_TOKEN").output().unwrap()
    };
    let token = |output: &std::process::Output| stdout(output).trim().parse::<u64>().unwrap();
    let first = with("run", &["k", "--", "sh", "-c", "echo $DISTLOCK_TOKEN"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(with("status", &["k"]).status.code(), Some(1));
    let short = with("run", &["--ttl", "5s", "k", "--", "true"]);
    assert_eq!(short.status.code(), Some(64), "{}", stderr(&short));
    assert!(stderr(&short).contains("10s"), "the range: {}", stderr(&short));

    let held = place.hold("k", &["--url", url], "echo $DISTLOCK_TOKEN; exec sleep 1000");
    assert!(held.line.parse::<u64>().unwrap() > token(&first));
    let status = with("status", &["--json", "k"]);
    assert_eq!(status.status.code(), Some(0), "{}", stderr(&status));
    assert!(stdout(&status).contains(&format!("\"token\":{}", held.line)), "{}", stdout(&status));
    let refused = with("run", &["--no-wait", "k", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75), "{}", stderr(&refused));
    assert!(stdout(&with("list", &[])).contains('k'));
    let doctor = with("doctor", &[]);
    // A single server that keeps nothing on disk.
    assert_eq!(doctor.status.code(), Some(1), "{}{}", stdout(&doctor), stderr(&doctor));
    for told in ["leader", "ttl-range", "10s to 24h", "1.8"] {
        assert!(stdout(&doctor).contains(told), "{told}: {}", stdout(&doctor));
    }

    // Somebody waits, and the lock is taken from its holder, who hears of it and stops its command.
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
fn an_agent() {
    let agent = Agent::dev().unwrap();
    all_commands_work_at(&format!("consul://127.0.0.1:{}?prefix=locks/", agent.port()));
    // Nobody is left in the queue, and no session but by its TTL.
    let keys = agent.tell("GET", "/v1/kv/?keys", "").unwrap();
    assert!(keys.contains("locks/k/.lock") && !keys.contains(".queue"), "{keys}");
}

/// A signal while waiting leaves no place in the queue: who is behind is served at once.
#[test]
fn a_waiter_that_is_told_to_end_leaves_nothing() {
    let agent = Agent::dev().unwrap();
    let url = format!("consul://127.0.0.1:{}", agent.port());
    let place = Place::new();
    let held = place.hold("k", &["--url", &url], "echo held; exec sleep 1000");
    let mut waiter = place.distlock(["run", "--url", &url, "k", "--", "true"]).spawn().unwrap();
    let keys = || agent.tell("GET", "/v1/kv/?keys", "").unwrap();
    eventually("it stands in the queue", || keys().contains(".queue"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&waiter), rustix::process::Signal::TERM).unwrap();
    assert_eq!(waiter.wait().unwrap().code(), Some(143));
    assert!(!keys().contains(".queue"), "{}", keys());
    drop(held);
}

#[test]
fn tls_and_a_token() {
    let tokens = format!(r#"{{"master": "{MASTER}", "agent": "{MASTER}"}}"#);
    let more = format!(r#""acl": {{"enabled": true, "default_policy": "deny", "tokens": {tokens}}}"#);
    let settings = Settings { more, token: Some(MASTER.to_owned()), tls: true, ..Settings::default() };
    let agent = Agent::dev_with(&settings).unwrap();
    let file = |name| agent.file(name).display().to_string();
    let bare = format!("consuls://localhost:{}?ca={}", agent.secure_port().unwrap(), file("authority.pem"));
    let known = format!("{bare}&cert={}&key={}", file("certificate.pem"), file("key.pem"));
    all_commands_work_at(&format!("{known}&token={MASTER}"));
    let place = Place::new();
    for (url, code) in [(&known, 77), (&bare, 69)] {
        let mut command = place.distlock(["run", "--no-wait", "--url", url, "k", "--", "true"]);
        let refused = command.env_remove("CONSUL_HTTP_TOKEN").output().unwrap();
        assert_eq!(refused.status.code(), Some(code), "{}", stderr(&refused));
    }
    let wrong = format!("{known}&token=b19b0550-0000-4000-8000-00000000hunter");
    let refused = place.output(&["status", "--url", &wrong, "k"]);
    assert_eq!(refused.status.code(), Some(77), "{}", stderr(&refused));
    assert!(!stderr(&refused).contains("hunter"), "{}", stderr(&refused));
}

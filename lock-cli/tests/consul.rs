//! The command on a real Consul agent, as a URL names it: plain, with a token, with TLS.
#![cfg(feature = "consul")]

mod support;

use support::{Place, eventually, stderr, stdout};
use testbed::consul::{Agent, Settings};

const MASTER: &str = "b19b0550-0000-4000-8000-000000000000";

fn all_commands_work_at(url: &str) {
    let doctor = support::all_commands_work_at(url);
    // A single server that keeps nothing on disk.
    assert_eq!(doctor.status.code(), Some(1), "{}{}", stdout(&doctor), stderr(&doctor));
    for told in ["leader", "ttl-range", "10s to 24h", "1.8"] {
        assert!(stdout(&doctor).contains(told), "{told}: {}", stdout(&doctor));
    }
    let short = Place::new().output(&["run", "--url", url, "--ttl", "5s", "k", "--", "true"]);
    assert_eq!(short.status.code(), Some(64), "{}", stderr(&short));
    assert!(stderr(&short).contains("10s"), "the range: {}", stderr(&short));
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
        let refused = place.output(&["run", "--no-wait", "--url", url, "k", "--", "true"]);
        assert_eq!(refused.status.code(), Some(code), "{}", stderr(&refused));
    }
    let wrong = format!("{known}&token=b19b0550-0000-4000-8000-00000000hunter");
    let refused = place.output(&["status", "--url", &wrong, "k"]);
    assert_eq!(refused.status.code(), Some(77), "{}", stderr(&refused));
    assert!(!stderr(&refused).contains("hunter"), "{}", stderr(&refused));
}

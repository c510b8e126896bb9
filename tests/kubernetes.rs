//! The example for Kubernetes over a real etcd: three processes, of which one works.
#![cfg(all(unix, feature = "etcd"))]

mod support;

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use support::{Running, example};
use testbed::etcd::EtcdOptions;

fn replica(name: &str, url: &str, state: &Path) -> Running {
    let mut command: Command = example("kubernetes", Path::new("/nonexistent"));
    command.env("DISTLOCK_URL", url).env("POD_NAME", name).env("STATE", state).env("LEASE_SECONDS", "3");
    let mut replica = Running::start(&mut command);
    replica.line_with("stands by");
    replica
}

fn token(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a token")
}

fn signal(replica: &Running, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(replica.pid()).expect("a process id")).expect("a process id");
    kill_process(pid, signal).expect("the process is there");
}

#[test]
fn one_replica_works_and_the_next_takes_over_when_it_is_killed_stopped_or_told_to_end() {
    let server = EtcdOptions::default().start().expect("etcd runs");
    let (url, directory) = (server.url(), tempfile::tempdir().expect("a directory"));
    let state = directory.path().join("state");

    let mut a = replica("a", &url, &state);
    let first = token(&a.line_with("a leads with token"));
    a.line_with("a wrote 3");
    // In this order in the queue.
    let mut b = replica("b", &url, &state);
    std::thread::sleep(std::time::Duration::from_millis(700));
    let mut c = replica("c", &url, &state);

    a.kill();
    let second = token(&b.line_with("b leads with token"));
    assert!(second > first);
    b.line_with("b wrote");

    // It stands still for longer than its TTL. The next one works; when it goes on, it knows.
    signal(&b, Signal::STOP);
    let third = token(&c.line_with("c leads with token"));
    assert!(third > second);
    c.line_with("c wrote");
    signal(&b, Signal::CONT);
    b.line_with("b ");
    b.line_with("b stands by");
    let text = std::fs::read_to_string(&state).expect("the state");
    assert!(text.starts_with(&format!("{third} ")), "only the one that leads has written since: {text}");

    // Told to end, it gives the lock back at once.
    signal(&c, Signal::TERM);
    c.line_with("c ends");
    let fourth = token(&b.line_with("b leads with token"));
    assert!(fourth > third);
    signal(&b, Signal::TERM);
    b.line_with("b ends");
    b.finish().ended_with(0);
}

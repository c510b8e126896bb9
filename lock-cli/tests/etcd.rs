//! The command on a real etcd, as a URL names it: plain, with one of two endpoints dead, with TLS.
#![cfg(feature = "etcd")]

mod support;

use std::sync::Arc;

use support::{Place, all_commands_work_at, eventually, stderr, stdout};
use testbed::etcd::{Certificates, EtcdOptions};

#[test]
fn one_member_and_an_endpoint_that_is_dead() {
    let etcd = EtcdOptions::default().start().unwrap();
    let doctor = all_commands_work_at(&format!("etcd://{},127.0.0.1:1?prefix=locks/", etcd.endpoint()));
    assert!(stdout(&doctor).contains("quorum"), "{}", stdout(&doctor));
    let keys = etcd.ctl().unwrap().run(&["get", "", "--prefix", "--keys-only"]).unwrap();
    assert!(!keys.contains("locks/k/"), "nothing is left: {keys}");
}

/// A signal while waiting leaves no place in the queue: who is behind is served at once.
#[test]
fn a_waiter_that_is_told_to_end_leaves_nothing() {
    let etcd = EtcdOptions::default().start().unwrap();
    let url = etcd.url();
    let place = Place::new();
    let held = place.hold("k", &["--url", &url], "echo held; exec sleep 1000");
    let mut waiter = place.distlock(["run", "--url", &url, "k", "--", "true"]).spawn().unwrap();
    let ctl = etcd.ctl().unwrap();
    let places = || ctl.run(&["get", "", "--prefix", "--keys-only"]).unwrap().matches("k/").count();
    eventually("it stands in the queue", || places() == 2);
    rustix::process::kill_process(rustix::process::Pid::from_child(&waiter), rustix::process::Signal::TERM).unwrap();
    assert_eq!(waiter.wait().unwrap().code(), Some(143));
    assert_eq!(places(), 1, "the holder's alone");
    drop(held);
}

#[test]
fn tls() {
    let certificates = Arc::new(Certificates::make("root").unwrap());
    let etcd = EtcdOptions::default().with_tls(certificates.clone()).start().unwrap();
    all_commands_work_at(&format!("{}?ca={}", etcd.url(), certificates.ca().display()));
    let refused = Place::new().output(&["status", "--url", &etcd.url(), "k"]);
    assert_eq!(refused.status.code(), Some(69), "{}", stderr(&refused));
}

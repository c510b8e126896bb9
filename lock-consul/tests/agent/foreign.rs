//! `consul lock` and we.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use lock_core::{LockAdmin, LockBackend, LockKey};
use tokio::time::timeout;

use crate::support::{Store, acquire, agent, granted, refused, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_52_consul_lock_excludes_us() {
    let store = Store::new();
    let mut consul = agent()
        .command()
        .unwrap()
        .args(["lock", "-shell=false", &store.path("deploy"), "sh", "-c", "echo locked; sleep 3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(consul.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "locked");
    let backend = store.direct();
    let seen = refused(&backend, &request("deploy")).await;
    assert_eq!((seen.record().owner(), seen.record().pid()), (None, None), "held by somebody unknown");
    assert!(seen.record().token().is_some());
    let listed = backend.list("").await.unwrap();
    assert_eq!(listed.len(), 1);
    let grant = timeout(Duration::from_secs(20), acquire(&backend, &request("deploy"))).await.expect("served");
    assert!(Some(grant.token()) > seen.record().token());
    assert!(tokio::task::spawn_blocking(move || consul.wait()).await.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_52_consul_lock_is_excluded_by_us() {
    let store = Store::new();
    let backend = store.direct();
    let own = request("deploy");
    granted(&backend, &own).await;
    let marker = tempfile::tempdir().unwrap();
    let file = marker.path().join("ran");
    let run = |time: &str| {
        let mut command = agent().command().unwrap();
        command
            .args(["lock", "-shell=false", &format!("-try={time}"), &store.path("deploy"), "touch"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        tokio::task::spawn_blocking(move || command.status().unwrap())
    };
    assert!(!run("1s").await.unwrap().success());
    assert!(!file.exists(), "consul lock ran its command while we held the lock");
    let waiting = run("20s");
    tokio::time::sleep(Duration::from_millis(500)).await;
    backend.release(&own.claim()).await.unwrap();
    assert!(waiting.await.unwrap().success());
    assert!(file.exists());
    // It has deleted the key: tokens go on rising.
    let (first, second) = (granted(&backend, &request("other")).await, granted(&backend, &request("deploy")).await);
    assert!(second.token() > first.token());
}

#[tokio::test]
async fn a_foreign_lock_is_broken_without_its_other_keys() {
    let store = Store::new();
    let created = agent().tell("PUT", "/v1/session/create", r#"{"TTL":"60s"}"#).unwrap();
    let session = created.split('"').nth(3).unwrap().to_owned();
    for key in ["deploy/.lock", "theirs"] {
        let path = format!("/v1/kv/{}?acquire={session}&flags=3304740253564472344", store.path(key));
        assert_eq!(agent().tell("PUT", &path, "not json").unwrap().trim(), "true");
    }
    let backend = store.direct();
    let key = LockKey::new("deploy").unwrap();
    assert!(backend.inspect(&key).await.unwrap().is_some());
    let outcome = backend.break_lock(&key, None).await.unwrap();
    assert!(matches!(outcome, lock_core::BreakOutcome::Broken(_)), "{outcome:?}");
    assert_eq!(store.entry("theirs").unwrap()["Session"].as_str(), Some(&*session));
    granted(&backend, &request("deploy")).await;
}

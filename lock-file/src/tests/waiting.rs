//! What wakes those who wait, and how soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_core::{AcquireRequest, Contention, LockAdmin, LockBackend, LockRecord, Release};
use tokio::time::timeout;

use super::{granted, key, open, release, request};
use crate::FileBackend;
use crate::wait::TOLD;

/// Far above what is due, far below the fallback... which must not be what ended the wait.
const SOON: Duration = Duration::from_millis(300);

fn wait(backend: &Arc<FileBackend>, request: &AcquireRequest) -> tokio::task::JoinHandle<Instant> {
    let (backend, request) = (backend.clone(), request.clone());
    tokio::spawn(async move {
        let seen = Contention::new(LockRecord::unknown(request.key().clone()));
        backend.wait(&request, &seen).await.unwrap();
        Instant::now()
    })
}

/// The time from `event` to the end of the wait, the watch being in place.
async fn woken_by(event: impl AsyncFnOnce(Arc<FileBackend>, AcquireRequest)) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (holder, waiter) = (request("k"), request("k"));
    granted(&a, &holder).await;
    let waiting = wait(&b, &waiter);
    // Until the probes after the first look are over, and only an event or the fallback can wake.
    tokio::time::sleep(Duration::from_millis(60)).await;
    let begun = Instant::now();
    event(a, holder).await;
    let woken = timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    woken - begun
}

#[tokio::test]
async fn a_release_wakes_the_waiter_at_once() {
    let took = woken_by(async |a, holder| assert_eq!(release(&a, &holder).await, Release::Released)).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_closed_record_wakes_the_waiter_at_once() {
    let took = woken_by(async |a, _| drop(a)).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_break_wakes_the_waiter_at_once() {
    let took = woken_by(async |a, _| drop(a.break_lock(&key("k"), None).await)).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn fault_59_a_deleted_directory_wakes_the_waiter() {
    let took = woken_by(async |a, _| std::fs::remove_dir_all(a.directory()).unwrap()).await;
    assert!(took < TOLD + SOON, "{took:?}");
}

#[tokio::test]
async fn the_deadline_wakes_the_waiter() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let short = AcquireRequest::new(key("k"), lock_core::Ttl::new(Duration::from_millis(150)).unwrap());
    let begun = Instant::now();
    granted(&a, &short).await;
    let woken = wait(&b, &request("k")).await.unwrap();
    let took = woken - begun;
    assert!(took >= Duration::from_millis(150) && took < SOON, "{took:?}");
}

#[tokio::test]
async fn without_a_watch_a_waiter_asks_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    b.shared.watches.break_for_test();
    let (holder, waiter) = (request("k"), request("k"));
    granted(&a, &holder).await;
    let waiting = wait(&b, &waiter);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let begun = Instant::now();
    release(&a, &holder).await;
    assert!(waiting.await.unwrap() - begun < SOON);
}

#[tokio::test]
async fn watches_are_shared_linger_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let b = open(dir.path());
    std::fs::create_dir(dir.path().join("k")).unwrap();
    let one = b.shared.watches.watch(&dir.path().join("k"));
    let two = b.shared.watches.watch(&dir.path().join("k"));
    assert!(one.works() && b.shared.watches.count() == 1);
    drop((one, two));
    b.shared.watches.tidy();
    assert_eq!(b.shared.watches.count(), 1, "it lingers");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    b.shared.watches.tidy();
    assert_eq!(b.shared.watches.count(), 0);
}

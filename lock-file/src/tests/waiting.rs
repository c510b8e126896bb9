//! What wakes those who wait, and how soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_core::{AcquireRequest, Contention, LockAdmin, LockBackend, LockRecord, Release};
use tokio::time::timeout;

use super::{granted, key, open, release, request};
use crate::FileBackend;

/// Far above what is due, and below the fallback, which must not be what ended the wait.
const SOON: Duration = Duration::from_secs(10);

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
    assert!(took < SOON, "{took:?}");
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
    let one = b.shared.watches.watch(&dir.path().join("k"), &Arc::default());
    let two = b.shared.watches.watch(&dir.path().join("k"), &Arc::default());
    assert!(one.works() && b.shared.watches.count() == 1);
    drop((one, two));
    b.shared.watches.tidy();
    assert_eq!(b.shared.watches.count(), 1, "it lingers");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    b.shared.watches.tidy();
    assert_eq!(b.shared.watches.count(), 0);
}

/// Waiters in the order of their places, each a client of its own.
async fn queue(
    directory: &std::path::Path,
    number: usize,
) -> Vec<(tokio::task::JoinHandle<Instant>, Arc<FileBackend>, AcquireRequest)> {
    let mut waiters = Vec::new();
    for _ in 0..number {
        let (backend, request) = (open(directory), request("k"));
        waiters.push((wait(&backend, &request), backend, request));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    waiters
}

/// Five wait behind a holder; those before the last one leave in the way given.
async fn the_last_of_five_is_woken(leave: impl AsyncFn(Arc<FileBackend>, AcquireRequest)) {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let holder = request("k");
    granted(&a, &holder).await;
    let mut waiters = queue(dir.path(), 5).await;
    let (last, ..) = waiters.pop().unwrap();
    for (waiting, backend, request) in waiters {
        waiting.abort();
        let _ = waiting.await;
        leave(backend, request).await;
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    release(&a, &holder).await;
    timeout(SOON, last).await.expect("woken by those who left").unwrap();
}

#[tokio::test]
async fn a_waiter_far_behind_moves_up_when_others_give_up() {
    the_last_of_five_is_woken(async |backend, request| assert_eq!(release(&backend, &request).await, Release::NotHeld))
        .await;
}

#[tokio::test]
async fn a_waiter_far_behind_moves_up_when_others_die() {
    // Their descriptors are closed, which is what the kernel does for the dead.
    the_last_of_five_is_woken(async |backend, _| drop(backend)).await;
}

#[tokio::test]
async fn of_many_waiters_a_release_wakes_the_front_only() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let holder = request("k");
    granted(&a, &holder).await;
    let waiters = queue(dir.path(), 5).await;
    release(&a, &holder).await;
    // Nobody takes it: after the grace the second may, and those behind sleep on.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let woken: Vec<bool> = waiters.iter().map(|(waiting, ..)| waiting.is_finished()).collect();
    assert_eq!(woken, [true, true, false, false, false]);
}

#[tokio::test]
async fn the_tickets_of_the_dead_do_not_keep_a_waiter_from_the_front() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let holder = request("k");
    granted(&a, &holder).await;
    for _ in 0..2 {
        let (backend, request) = (open(dir.path()), request("k"));
        let waiting = wait(&backend, &request);
        tokio::time::sleep(Duration::from_millis(60)).await;
        waiting.abort();
        drop((waiting.await, backend));
    }
    let last = open(dir.path());
    let waiting = wait(&last, &request("k"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    release(&a, &holder).await;
    timeout(SOON, waiting).await.expect("nobody alive is before it").unwrap();
}

#[tokio::test]
async fn a_waiter_far_behind_listens_to_the_lock_when_the_queue_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let holder = request("k");
    granted(&a, &holder).await;
    let mut waiters = queue(dir.path(), 3).await;
    std::fs::rename(dir.path().join("k/queue"), dir.path().join("k/lost")).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    release(&a, &holder).await;
    let (last, _backend, _) = waiters.pop().unwrap();
    timeout(SOON, last).await.expect("woken by the lock itself").unwrap();
}

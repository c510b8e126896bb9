//! What wakes those who wait, and how soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_core::{AcquireRequest, Contention, LockAdmin, LockBackend, LockRecord, Release};
use tokio::time::timeout;

use super::{granted, key, open, release, request};
use crate::FileBackend;
use crate::wait::BEHIND;

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
        settle().await;
    }
    waiters
}

/// Lets the watchers' threads do their part; a paused clock stands still meanwhile.
async fn settle() {
    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(100))).await.unwrap();
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

/// Waiters that stand still, as those that are stopped: their tickets live as long as what this answers.
async fn stopped(directory: &std::path::Path, number: usize) -> Vec<(Arc<FileBackend>, AcquireRequest)> {
    let mut stopped = Vec::new();
    for (waiting, backend, request) in queue(directory, number).await {
        waiting.abort();
        let _ = waiting.await;
        stopped.push((backend, request));
    }
    stopped
}

/// How long the last in a queue takes to see a release, all before it being stopped, or dead.
async fn seen_after(
    release_of: &Arc<FileBackend>,
    holder: &AcquireRequest,
    last: tokio::task::JoinHandle<Instant>,
) -> Duration {
    let begun = tokio::time::Instant::now();
    release(release_of, holder).await;
    last.await.unwrap();
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn behind_a_front_that_is_stopped_the_dead_before_it_do_not_make_a_waiter_sleep_longer() {
    let dir = tempfile::tempdir().unwrap();
    let (a, holder) = (open(dir.path()), request("k"));
    granted(&a, &holder).await;
    // They die behind the backs of those who stand still: nobody has removed their tickets when the last one comes.
    let dead = stopped(dir.path(), 4).await;
    let _front = stopped(dir.path(), 2).await;
    drop(dead);
    let last = open(dir.path());
    let waiting = wait(&last, &request("k"));
    settle().await;
    let took = seen_after(&a, &holder, waiting).await;
    // Its look falls into the grace, for which the host's clock counts, so it has to look once more.
    assert!(took < 2 * BEHIND, "{took:?}");
}

/// One waits behind five that stand still, and has done so for long; then `leave` of the nearest leave, and the
/// holder releases.
async fn behind_five_that_are_stopped(leave: usize) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let (a, holder) = (open(dir.path()), request("k"));
    granted(&a, &holder).await;
    let mut before = stopped(dir.path(), 5).await;
    let last = open(dir.path());
    let waiting = wait(&last, &request("k"));
    settle().await;
    // It looks after 1, 3 and 7 of these, and then knows as many as it ever does: its next look is after 15.
    for _ in 0..12 {
        tokio::time::advance(BEHIND).await;
        settle().await;
    }
    for (backend, request) in before.split_off(5 - leave) {
        assert_eq!(release(&backend, &request).await, Release::NotHeld);
        settle().await;
    }
    // However late the watcher's thread is: the paused clock would jump to the end of the sleep.
    for _ in 0..5 {
        settle().await;
    }
    seen_after(&a, &holder, waiting).await
}

#[tokio::test(start_paused = true)]
async fn behind_a_front_that_is_stopped_those_who_left_do_not_make_a_waiter_sleep_longer() {
    let took = behind_five_that_are_stopped(3).await;
    assert!(took < 2 * BEHIND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn behind_many_a_waiter_looks_less_often() {
    let took = behind_five_that_are_stopped(0).await;
    assert!(took > 2 * BEHIND && took < 4 * BEHIND, "{took:?}");
}

/// One that waits in the grace of a release, behind so many that stand still, and by whose clock that grace lasts.
async fn in_the_grace_behind(
    directory: &std::path::Path,
    number: usize,
) -> (Vec<(Arc<FileBackend>, AcquireRequest)>, Arc<FileBackend>, tokio::task::JoinHandle<Instant>) {
    let (a, holder) = (open(directory), request("k"));
    granted(&a, &holder).await;
    let before = stopped(directory, number).await;
    let (last, now) = (open(directory), a.shared.host.now());
    for backend in [&a, &last] {
        backend.shared.host.hand.freeze(now);
    }
    release(&a, &holder).await;
    let waiting = wait(&last, &request("k"));
    settle().await;
    (before, last, waiting)
}

#[tokio::test(start_paused = true)]
async fn who_comes_in_the_grace_of_others_leaves_its_end_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let (_before, last, waiting) = in_the_grace_behind(dir.path(), 2).await;
    last.shared.host.hand.move_lease_clock(Duration::from_secs(1));
    let begun = tokio::time::Instant::now();
    waiting.await.unwrap();
    let took = begun.elapsed();
    assert!(took > BEHIND / 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn looks_within_the_grace_are_no_reason_to_look_further() {
    let dir = tempfile::tempdir().unwrap();
    let (_before, last, waiting) = in_the_grace_behind(dir.path(), 5).await;
    tokio::time::advance(BEHIND).await;
    // One for having heard nothing; these come every few milliseconds.
    for _ in 0..5 {
        settle().await;
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    let (next, newcomer) = (open(dir.path()), request("k"));
    granted(&next, &newcomer).await;
    settle().await;
    tokio::time::advance(Duration::from_millis(20)).await;
    settle().await;
    last.shared.host.hand.move_lease_clock(Duration::from_secs(5));
    let took = seen_after(&next, &newcomer, waiting).await;
    assert!(took < 3 * BEHIND, "{took:?}");
}

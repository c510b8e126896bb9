//! Tests that need a hand on the clocks, or stop the code between two of its steps. Two backends
//! on one directory behave as two processes do: kernel locks are per opening of a file.

mod admin;
mod clocks;
mod failures;
mod interleavings;
mod queue;
mod waiting;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Attempt, FencingToken, Grant, Lease, LockAdmin, LockBackend, LockKey, LockRecord, Release, Renewal,
    Ttl,
};

use crate::FileBackend;
use crate::host::Host;
use crate::slot::Slot;

const TTL: Duration = Duration::from_secs(15);

fn key(text: &str) -> LockKey {
    LockKey::new(text).unwrap()
}

fn request(text: &str) -> AcquireRequest {
    AcquireRequest::new(key(text), Ttl::new(TTL).unwrap())
}

/// A backend as another process would open it.
fn open(directory: &Path) -> Arc<FileBackend> {
    Arc::new(FileBackend::open(directory).unwrap())
}

fn open_on(directory: &Path, host: Host) -> Arc<FileBackend> {
    Arc::new(FileBackend::builder(directory).open_on(host).unwrap())
}

async fn granted(backend: &FileBackend, request: &AcquireRequest) -> Grant {
    match backend.try_acquire(request).await.unwrap() {
        Attempt::Granted(grant) => grant,
        Attempt::Held(by) => panic!("held by {by:?}"),
    }
}

async fn held(backend: &FileBackend, request: &AcquireRequest) -> LockRecord {
    match backend.try_acquire(request).await.unwrap() {
        Attempt::Held(by) => by.record().clone(),
        Attempt::Granted(grant) => panic!("granted {grant:?}"),
    }
}

async fn renewal(backend: &FileBackend, request: &AcquireRequest, token: FencingToken) -> Renewal {
    backend.renew(&Lease::new(request.claim(), token, request.ttl())).await.unwrap()
}

async fn release(backend: &FileBackend, request: &AcquireRequest) -> Release {
    backend.release(&request.claim()).await.unwrap()
}

/// The generations in the lock's directory.
fn generations(backend: &FileBackend, text: &str) -> Vec<u64> {
    Slot::of(backend.directory(), &key(text)).generations().unwrap()
}

/// Runs `f` to its end from within the code under test, which is on a runtime's thread.
fn run<T>(f: impl Future<Output = T>) -> T {
    // The calls in question have no await point: the first poll is the whole of it.
    let mut f = std::pin::pin!(f);
    match f.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("the call waits"),
    }
}

#[tokio::test]
async fn the_same_owner_gets_the_same_token_again() {
    let dir = tempfile::tempdir().unwrap();
    let backend = open(dir.path());
    let request = request("a");
    let first = granted(&backend, &request).await;
    assert_eq!(granted(&backend, &request).await.token(), first.token());
    assert_eq!(release(&backend, &request).await, Release::Released);
    assert_eq!(release(&backend, &request).await, Release::NotHeld);
}

#[tokio::test]
async fn one_key_is_one_lock_between_backends_and_tokens_grow() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mut last = FencingToken::new(0);
    for round in 0..50 {
        let (holder, other) = if round % 3 == 0 { (&a, &b) } else { (&b, &a) };
        let (mine, theirs) = (request("k"), request("k"));
        let grant = granted(holder, &mine).await;
        assert!(grant.token() > last);
        last = grant.token();
        assert_eq!(held(other, &theirs).await.owner(), Some(mine.owner()));
        assert_eq!(release(other, &mine).await, Release::NotHeld);
        assert_eq!(renewal(other, &mine, last).await, Renewal::Lost);
        assert_eq!(renewal(holder, &mine, last).await, Renewal::Renewed(mine.ttl()));
        assert_eq!(release(holder, &mine).await, Release::Released);
    }
    assert_eq!(generations(&a, "k").len(), 1, "old generations are swept");
    assert_eq!(std::fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn faults_27_28_29_and_63_strange_keys_are_distinct_locks_within_the_directory() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("locks");
    let backend = open(&directory);
    let long = "n".repeat(1000);
    let longer = format!("{long}/");
    let keys = [
        "a",
        "A",
        "a/b",
        "a/b/c",
        "a:fence",
        "a//b",
        "../x",
        "..",
        ".",
        ".tmp",
        "*",
        "{}",
        "}x",
        "%2F",
        "/",
        "x.",
        "CON",
        "con",
        "nul.txt",
        "a\0b",
        "a\nb",
        "é",
        "queue",
        "00000000000000000001",
        &long,
        &longer,
    ];
    let mut requests = Vec::new();
    for text in keys {
        let request = request(text);
        granted(&backend, &request).await;
        requests.push(request);
    }
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1, "nothing escaped");
    // One directory for each key, and that of the temporaries.
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), keys.len() + 1);
    let mut sorted = keys;
    sorted.sort_unstable();
    let listed: Vec<_> = backend.list("").await.unwrap().iter().map(|r| r.key().as_str().to_owned()).collect();
    assert_eq!(listed, sorted);
    for request in &requests {
        assert_eq!(release(&backend, request).await, Release::Released);
    }
    assert!(backend.list("").await.unwrap().is_empty());
}

/// The record of the current generation, opened for a test to look at or to damage.
fn current_file(backend: &FileBackend, text: &str) -> File {
    let slot = Slot::of(backend.directory(), &key(text));
    let number = *slot.generations().unwrap().last().unwrap();
    File::options().read(true).write(true).open(slot.generation(number)).unwrap()
}

//! What the tests have in common.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::{Duration, Instant};

use lock_core::{AcquireRequest, Attempt, BackendError, Grant, Lease, LockBackend, LockKey, Release, Renewal, Ttl};
use lock_redis::RedisBackend;

pub const LONG: Duration = Duration::from_secs(60);

pub async fn connect(port: u16) -> RedisBackend {
    RedisBackend::server("127.0.0.1", port).connect().await.unwrap()
}

pub fn key(text: &str) -> LockKey {
    LockKey::new(text).unwrap()
}

pub fn request(text: &str, ttl: Duration) -> AcquireRequest {
    AcquireRequest::new(key(text), Ttl::new(ttl).unwrap())
}

/// Tries once, and is granted.
pub async fn granted(backend: &RedisBackend, request: &AcquireRequest) -> Grant {
    match backend.try_acquire(request).await.unwrap() {
        Attempt::Granted(grant) => grant,
        Attempt::Held(seen) => panic!("held by {}", seen.record()),
    }
}

pub async fn is_refused(backend: &RedisBackend, request: &AcquireRequest) -> bool {
    matches!(backend.try_acquire(request).await.unwrap(), Attempt::Held(_))
}

/// Tries and waits in turn, as the supervisor does.
pub async fn acquire(backend: &RedisBackend, request: &AcquireRequest) -> Result<Grant, BackendError> {
    loop {
        match backend.try_acquire(request).await? {
            Attempt::Granted(grant) => return Ok(grant),
            Attempt::Held(seen) => backend.wait(request, &seen).await?,
        }
    }
}

/// The same, and again after transient errors, for as long as `limit`.
pub async fn acquire_within(backend: &RedisBackend, request: &AcquireRequest, limit: Duration) -> Grant {
    let began = Instant::now();
    loop {
        match tokio::time::timeout(limit, acquire(backend, request)).await.expect("not acquired in time") {
            Ok(grant) => return grant,
            Err(error) if error.is_transient() && began.elapsed() < limit => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub async fn renew(backend: &RedisBackend, request: &AcquireRequest, grant: &Grant) -> Result<Renewal, BackendError> {
    backend.renew(&Lease::new(request.claim(), grant.token(), request.ttl())).await
}

pub async fn release(backend: &RedisBackend, request: &AcquireRequest) -> Release {
    backend.release(&request.claim()).await.unwrap()
}

/// Waits until so many stand in the queue of a lock.
pub async fn until_waiting(backend: &RedisBackend, text: &str, count: u64) {
    for _ in 0..500 {
        match backend.try_acquire(&request(text, LONG)).await.unwrap() {
            Attempt::Held(seen) if seen.waiters() == Some(count) => return,
            Attempt::Held(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Attempt::Granted(_) => panic!("nobody holds {text}"),
        }
    }
    panic!("never {count} waiters of {text}");
}

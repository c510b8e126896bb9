//! Real processes: killed, stopped, forked, refused. Each is this test binary once more, which
//! the variable below turns into a child that does one thing (see `child.rs`).
#![cfg(unix)]

mod child;
mod contention;
mod death;
mod refusals;

use lock_core::{AcquireRequest, Attempt, Contention, Grant, LockBackend, LockKey, Ttl};
use lock_file::FileBackend;
use std::time::Duration;

const KEY: &str = "k";

fn request(ttl: Duration) -> AcquireRequest {
    AcquireRequest::new(LockKey::new(KEY).unwrap(), Ttl::new(ttl).unwrap())
}

/// Acquires as the supervisor does: tries, waits, tries again.
async fn acquire(backend: &FileBackend, request: &AcquireRequest) -> Grant {
    loop {
        match backend.try_acquire(request).await.unwrap() {
            Attempt::Granted(grant) => return grant,
            Attempt::Held(seen) => backend.wait(request, &seen).await.unwrap(),
        }
    }
}

async fn is_held(backend: &FileBackend, request: &AcquireRequest) -> Option<Contention> {
    match backend.try_acquire(request).await.unwrap() {
        Attempt::Held(by) => Some(by),
        Attempt::Granted(_) => None,
    }
}

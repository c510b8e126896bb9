//! Who goes first after a release.

use std::time::Duration;

use lock_core::{Contention, LockBackend, LockRecord, Release};
use tokio::time::timeout;

use super::{granted, held, key, open, release, request, run};
use crate::FileBackend;
use crate::queue::GRACE;
use crate::seam::Point;

/// The clocks of all stand still, so that a grace isn't over before a slow test is.
fn freeze(backends: &[&FileBackend]) {
    let now = crate::os::monotonic_ns();
    for backend in backends {
        backend.shared.host.hand.freeze(now);
    }
}

/// Takes a place in the queue, as a waiter that isn't running any more (or not now).
pub(super) async fn queue(backend: &FileBackend, request: &lock_core::AcquireRequest) {
    let seen = Contention::new(LockRecord::unknown(request.key().clone()));
    let waited = timeout(Duration::from_millis(5), backend.wait(request, &seen)).await;
    assert!(waited.is_err(), "it is held");
}

#[tokio::test]
async fn within_the_grace_the_first_in_the_queue_alone_may_take_it() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (open(dir.path()), open(dir.path()), open(dir.path()));
    let (holder, first, second) = (request("k"), request("k"), request("k"));
    granted(&a, &holder).await;
    queue(&b, &first).await;
    queue(&c, &second).await;
    freeze(&[&a, &b, &c]);
    release(&a, &holder).await;
    // The last holder, a newcomer and the second must let the first go.
    assert_eq!(held(&a, &request("k")).await.owner(), Some(first.owner()));
    assert_eq!(held(&c, &second).await.owner(), Some(first.owner()));
    let grant = granted(&b, &first).await;
    assert_eq!(held(&c, &second).await.token(), Some(grant.token()));
    // The ticket became the generation; the second keeps its own.
    assert_eq!(std::fs::read_dir(dir.path().join("k/queue")).unwrap().count(), 1);
    release(&b, &first).await;
    assert_eq!(held(&b, &request("k")).await.owner(), Some(second.owner()));
    granted(&c, &second).await;
}

#[tokio::test]
async fn after_the_grace_anybody_may_take_it() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, newcomer) = (open(dir.path()), open(dir.path()), open(dir.path()));
    let (holder, stopped, next) = (request("k"), request("k"), request("k"));
    granted(&a, &holder).await;
    queue(&b, &stopped).await;
    freeze(&[&a, &newcomer]);
    release(&a, &holder).await;
    held(&newcomer, &next).await;
    newcomer.shared.host.hand.move_lease_clock(GRACE);
    granted(&newcomer, &next).await;
    held(&b, &stopped).await;
    assert_eq!(std::fs::read_dir(dir.path().join("k/queue")).unwrap().count(), 1, "its place is kept");
}

#[tokio::test]
async fn the_tickets_of_the_dead_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let (a, dead) = (open(dir.path()), open(dir.path()));
    let (holder, ghost) = (request("k"), request("k"));
    granted(&a, &holder).await;
    queue(&dead, &ghost).await;
    drop(dead);
    freeze(&[&a]);
    release(&a, &holder).await;
    granted(&a, &request("k")).await;
    assert!(!dir.path().join("k/queue").exists(), "an empty queue goes, and the fast way is open again");
}

#[tokio::test]
async fn release_withdraws_a_place_in_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (holder, waiter) = (request("k"), request("k"));
    granted(&a, &holder).await;
    queue(&b, &waiter).await;
    freeze(&[&a]);
    assert_eq!(release(&b, &waiter).await, Release::NotHeld);
    assert_eq!(std::fs::read_dir(dir.path().join("k/queue")).unwrap().count(), 0);
    release(&a, &holder).await;
    granted(&a, &request("k")).await;
}

#[tokio::test]
async fn a_broken_lock_goes_to_the_first_in_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    granted(&a, &request("k")).await;
    let first = request("k");
    queue(&b, &first).await;
    freeze(&[&a, &b]);
    lock_core::LockAdmin::break_lock(&*a, &key("k"), None).await.unwrap();
    held(&a, &request("k")).await;
    granted(&b, &first).await;
}

#[tokio::test]
async fn a_waiter_that_was_beaten_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (holder, first, faster) = (request("k"), request("k"), request("k"));
    granted(&a, &holder).await;
    queue(&b, &first).await;
    release(&a, &holder).await;
    let (a2, faster2) = (a.clone(), faster.clone());
    b.shared.seam.once_at(Point::BeforePublish, move || {
        a2.shared.host.hand.move_lease_clock(GRACE);
        run(granted(&a2, &faster2));
    });
    assert_eq!(held(&b, &first).await.owner(), Some(faster.owner()));
    let tickets: Vec<_> =
        std::fs::read_dir(dir.path().join("k/queue")).unwrap().map(|t| t.unwrap().file_name()).collect();
    assert!(tickets.len() == 1 && tickets[0].to_str().unwrap().ends_with(&first.owner().to_string()));
}

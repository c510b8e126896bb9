//! Futures that are dropped at each of their await points: polled so many times, and never again.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use lock_core::{LockBackend, Supervisor};
use tokio::time::{sleep, timeout};

use crate::support::{Bed, granted, request, seconds, until};

/// More than any of these futures is polled.
const POLLS: u32 = 60;

/// How a future that is polled a limited number of times ended.
#[derive(PartialEq, Eq)]
enum Polled {
    Done,
    Dropped,
    /// It waits for something that doesn't come.
    Waits,
}

async fn polled<F: Future>(limit: u32, future: F) -> Polled {
    let (mut future, mut polls) = (Box::pin(future), 0);
    let all = poll_fn(|context| {
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => {
                drop(output);
                Poll::Ready(Polled::Done)
            }
            Poll::Pending if polls >= limit => Poll::Ready(Polled::Dropped),
            Poll::Pending => Poll::Pending,
        }
    });
    timeout(seconds(1), all).await.unwrap_or(Polled::Waits)
}

/// Nothing is left of the one that was dropped, also of what was on its way.
async fn is_free(bed: &Bed, name: &str) {
    until("nothing is left in the queue", async || bed.queue(name).is_empty()).await;
    let (other, held) = (bed.client(), request(name, 60));
    granted(&other, &held).await;
    other.release(&held.claim()).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    assert!(bed.queue(name).is_empty(), "{:?}", bed.queue(name));
}

/// What a client has before it asks.
#[derive(PartialEq)]
enum Has {
    Nothing,
    /// A connection, and a lease to spare that must be kept alive, or that is young enough to be used as it is.
    OldLease,
    YoungLease,
}

async fn acquire(has: Has) {
    let ttl = seconds(4);
    let bed = Bed::new();
    // A young lease saves one: the keep-alive's.
    let await_points = if has == Has::YoungLease { 2 } else { 3 };
    // On a busy machine two answers may come at once, and two await points are one.
    for round in 0..5 {
        for polls in 1..=POLLS {
            let (locks, name) = (bed.locks(), format!("dropped{round}-{polls}"));
            if has != Has::Nothing {
                locks.lock("warm").ttl(ttl).acquire().await.unwrap().release().await.unwrap();
            }
            if has == Has::OldLease {
                sleep(ttl / 10).await;
            }
            let ended = polled(polls, locks.lock(&name).ttl(ttl).acquire()).await;
            is_free(&bed, &name).await;
            match ended {
                Polled::Done if polls > await_points => return,
                Polled::Done => break,
                _ => assert!(polls < POLLS, "not done after {POLLS} polls"),
            }
        }
    }
    panic!("it has {await_points} await points");
}

#[tokio::test]
async fn fault_04_acquire_dropped_at_every_await_point_leaves_nothing() {
    acquire(Has::Nothing).await;
}

#[tokio::test]
async fn fault_04_acquire_with_a_spare_lease_dropped_at_every_await_point_leaves_nothing() {
    acquire(Has::OldLease).await;
}

#[tokio::test]
async fn fault_04_acquire_with_a_young_lease_dropped_at_every_await_point_leaves_nothing() {
    acquire(Has::YoungLease).await;
}

#[tokio::test]
async fn fault_04_wait_dropped_at_every_await_point_leaves_no_place() {
    let bed = Bed::new();
    let (locks, holder, held) = (bed.locks(), bed.client(), request("wanted", 60));
    granted(&holder, &held).await;
    for polls in 1..=POLLS {
        let ended = polled(polls, locks.lock("wanted").ttl(seconds(60)).acquire()).await;
        until("no place is left", async || bed.queue("wanted").len() == 1).await;
        if ended == Polled::Waits {
            holder.release(&held.claim()).await.unwrap();
            return is_free(&bed, "wanted").await;
        }
    }
    panic!("still asking after {POLLS} polls");
}

/// The one before lets go while it waits: it is dropped before it is told, while it asks, and as it is granted the lock.
#[tokio::test]
async fn fault_04_wait_dropped_while_its_turn_comes_leaves_nothing() {
    let bed = Bed::new();
    let locks: Supervisor = bed.locks();
    for polls in 1..=POLLS {
        let (holder, name) = (bed.client(), format!("turn{polls}"));
        let held = request(&name, 60);
        granted(&holder, &held).await;
        let waiting = polled(polls, locks.lock(&name).ttl(seconds(60)).acquire());
        let letting_go = async {
            sleep(Duration::from_millis(100)).await;
            holder.release(&held.claim()).await.unwrap();
        };
        let (ended, ()) = tokio::join!(waiting, letting_go);
        is_free(&bed, &name).await;
        if ended == Polled::Done {
            return;
        }
    }
    panic!("not done after {POLLS} polls");
}

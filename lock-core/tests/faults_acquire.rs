//! Faults while acquiring (numbers: the project's list of faults). Time is paused.

mod support;

use std::sync::Arc;
use std::time::Duration;

use lock_core::{AcquireError, ErrorKind, LockAdmin, LockBackend, LockKey, Operation, Ttl};
use support::{Fault, Faulty, TTL};
use tokio::time::{Instant, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn fault_01_partition_before_the_request_is_sent() {
    let store = Faulty::new(|_, _| Fault::Refuse);
    let locks = store.supervisor().patience(Duration::from_secs(5)).build();
    let began = Instant::now();
    let error = locks.lock("k").try_acquire().await.unwrap_err();
    assert!(matches!(&error, AcquireError::Backend(error) if error.kind() == ErrorKind::Unavailable), "{error}");
    assert!(began.elapsed() <= Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(store.is_free("k").await);
}

#[tokio::test(start_paused = true)]
async fn fault_02_reply_lost_the_same_owner_asks_again() {
    let store = Faulty::new(|call, before| match (call.operation, before) {
        (Operation::Acquire, 0) => Fault::LoseReply,
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").try_acquire().await.unwrap();
    let calls = store.calls(Operation::Acquire);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].owner, calls[1].owner);
    let key = LockKey::new("k").unwrap();
    let record = store.store.inspect(&key).await.unwrap().unwrap();
    assert_eq!(record.token(), Some(guard.fencing_token()));
    assert_eq!(record.owner(), Some(guard.owner()));
}

#[tokio::test(start_paused = true)]
async fn fault_03_applied_and_no_retry_succeeds_is_ambiguous_and_cleaned_up() {
    let store = Faulty::new(|call, before| match (call.operation, before) {
        (Operation::Acquire, 0) => Fault::LoseReply,
        (Operation::Acquire, _) => Fault::Refuse,
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let error = locks.lock("k").try_acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Ambiguous(_)), "{error}");
    sleep(Duration::from_millis(1)).await;
    assert!(store.is_free("k").await, "released in the background");
}

#[tokio::test(start_paused = true)]
async fn fault_04_acquire_dropped_at_every_await_point_leaves_nothing() {
    // The reply of the n-th call of each kind is late; the acquire is dropped while it waits for it.
    for (operation, held_before) in [(Operation::Acquire, false), (Operation::Acquire, true), (Operation::Wait, true)] {
        for nth in 0..2 {
            let store = Faulty::new(move |call, before| match call.operation {
                op if op == operation && before == nth => Fault::DelayReply(TTL),
                _ => Fault::None,
            });
            let locks = store.supervisor().build();
            let other = store.store.clone();
            let blocker = lock_core::AcquireRequest::new(LockKey::new("k").unwrap(), Ttl::new(TTL).unwrap());
            if held_before {
                let _ = other.try_acquire(&blocker).await.unwrap();
            }
            let acquire = locks.lock("k").acquire();
            let outcome = timeout(Duration::from_millis(300), acquire).await;
            drop(outcome);
            let _ = other.release(&blocker.claim()).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            assert!(store.is_free("k").await, "{operation:?} {nth} left the lock held");
            let next = lock_core::AcquireRequest::new(LockKey::new("k").unwrap(), Ttl::new(TTL).unwrap());
            let attempt = other.try_acquire(&next).await.unwrap();
            assert!(matches!(attempt, lock_core::Attempt::Granted(_)), "{operation:?} {nth} left a place in the queue");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fault_05_abandoned_acquire_applied_after_its_clean_up_is_an_orphan_of_one_ttl() {
    let late = Duration::from_secs(3);
    let store = Faulty::new(move |call, before| match (call.operation, before) {
        (Operation::Acquire, 0) => Fault::ApplyLate(late),
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    assert!(timeout(Duration::from_secs(1), locks.lock("k").ttl(TTL).try_acquire()).await.is_err());
    sleep(late).await;
    assert!(!store.is_free("k").await, "the orphan");
    let began = Instant::now();
    let guard = locks.lock("k").acquire().await.unwrap();
    assert!(began.elapsed() <= TTL, "{:?}", began.elapsed());
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn fault_16_impossible_ttls_are_typed_errors() {
    let locks = Faulty::healthy().supervisor().build();
    for ttl in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let error = locks.lock("k").ttl(ttl).acquire().await.unwrap_err();
        assert!(matches!(error, AcquireError::InvalidTtl(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_17_ttl_outside_the_backends_range_is_told_with_the_range() {
    let (min, max) = (Duration::from_secs(10), Duration::from_secs(86_400));
    let store = Faulty::healthy().with_capabilities(|all| all.with_ttl_range(min, max, Duration::from_secs(1)));
    let locks = store.supervisor().build();
    for ttl in [Duration::from_millis(9_999), Duration::from_secs(86_401)] {
        match locks.lock("k").ttl(ttl).acquire().await.unwrap_err() {
            AcquireError::Backend(error) => assert_eq!(error.kind(), ErrorKind::TtlOutOfRange { min, max }),
            other => panic!("{other}"),
        }
    }
    let guard = locks.lock("k").ttl(Duration::from_millis(10_001)).acquire().await.unwrap();
    assert_eq!(guard.ttl().get(), Duration::from_secs(11), "rounded up, and told");
    assert!(store.calls(Operation::Acquire).len() == 1);
}

#[tokio::test(start_paused = true)]
async fn fault_18_a_token_that_does_not_rise_is_refused_and_the_lock_released() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    store.set_token(7);
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
    for token in [7, 6] {
        store.set_token(token);
        match locks.lock("k").acquire().await.unwrap_err() {
            AcquireError::FencingRegression { granted, seen, .. } => {
                assert_eq!((granted.get(), seen.get()), (token, 7));
            }
            other => panic!("{other}"),
        }
        sleep(Duration::from_millis(1)).await;
        assert!(store.is_free("k").await);
    }
    store.set_token(8);
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_reply_comes_after_its_deadline_is_asked_for_again() {
    let ttl = Duration::from_secs(1);
    let store = Faulty::new(move |call, before| match (call.operation, before) {
        (Operation::Acquire, 0) => Fault::DelayReply(ttl),
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(ttl).acquire().await.unwrap();
    assert!(guard.remaining() > ttl / 2);
    assert_eq!(store.calls(Operation::Acquire).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn grants_that_always_come_too_late_end_in_an_error() {
    let ttl = Duration::from_millis(500);
    let store = Faulty::new(move |call, _| match call.operation {
        Operation::Acquire => Fault::DelayReply(ttl),
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let error = locks.lock("k").ttl(ttl).acquire().await.unwrap_err();
    assert!(matches!(&error, AcquireError::Ambiguous(error) if error.kind() == ErrorKind::TimedOut), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_told_at_once() {
    let store = Faulty::new(|_, _| Fault::Deny);
    let locks = store.supervisor().build();
    let began = Instant::now();
    let error = locks.lock("k").acquire().await.unwrap_err();
    assert!(matches!(&error, AcquireError::Backend(error) if error.kind() == ErrorKind::PermissionDenied), "{error}");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(error.to_string(), "acquiring \"k\": not allowed");
}

#[tokio::test(start_paused = true)]
async fn fault_20_tasks_of_one_process_are_served_in_order_of_arrival() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let first = locks.lock("k").acquire().await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..20 {
        let (locks, order) = (locks.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let guard = locks.lock("k").acquire().await.unwrap();
            order.lock().unwrap().push(number);
            sleep(Duration::from_millis(5)).await;
            assert!(guard.is_held());
            guard.release().await.unwrap();
        }));
        sleep(Duration::from_millis(1)).await;
    }
    let waiting_at_the_store: std::collections::HashSet<_> =
        store.calls(Operation::Wait).iter().map(|call| call.owner).collect();
    assert_eq!(waiting_at_the_store.len(), 1, "one task at a time stands at the store");
    let held = locks.lock("k").try_acquire().await.unwrap_err();
    assert_eq!(held.contention().unwrap().record().token(), Some(first.fencing_token()));
    first.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_tells_who_has_the_lock_and_leaves_no_place() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("k").label("blue").acquire().await.unwrap();
    let began = Instant::now();
    let limit = Duration::from_secs(2);
    let error = locks.lock("k").wait_at_most(limit).acquire().await.unwrap_err();
    assert_eq!(began.elapsed(), limit);
    let seen = error.contention().unwrap().record().clone();
    assert_eq!((seen.owner(), seen.label()), (Some(guard.owner()), Some("blue")));
    assert!(error.to_string().contains("did not become free within 2s; it is held by pid "), "{error}");
    sleep(Duration::from_millis(1)).await;
    guard.release().await.unwrap();
    drop(locks.lock("k").try_acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_less_than_the_patience_costs_nothing_but_time() {
    let start = Instant::now();
    let store = Faulty::new(move |call, _| {
        let down = start.elapsed() < Duration::from_secs(3);
        if down && call.operation != Operation::Release { Fault::Hang } else { Fault::None }
    });
    let locks = store.supervisor().call_timeout(Duration::from_millis(500)).build();
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
}

/// A store that is out of reach from `from` until `to`, counted from now.
fn out_of_reach(from: Duration, to: Duration) -> Faulty {
    let start = Instant::now();
    Faulty::new(move |call, _| {
        let down = start.elapsed() >= from && start.elapsed() < to;
        if down && call.operation != Operation::Renew { Fault::Refuse } else { Fault::None }
    })
}

/// Somebody else's hold that ends by itself, as a holder's that crashed.
async fn held_elsewhere(store: &Faulty, ttl: Duration) {
    let request = lock_core::AcquireRequest::new(LockKey::new("k").unwrap(), Ttl::new(ttl).unwrap());
    let _ = store.store.try_acquire(&request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_stands_in_line_rides_out_a_failover_and_who_comes_meanwhile_is_told_soon() {
    let store = out_of_reach(Duration::from_secs(1), Duration::from_secs(40));
    held_elsewhere(&store, Duration::from_secs(20)).await;
    let began = Instant::now();
    let locks = store.supervisor().build();
    let waits = |locks: &lock_core::Supervisor| {
        let locks = locks.clone();
        tokio::spawn(async move { locks.lock("k").acquire().await.map(|guard| (guard, Instant::now())) })
    };
    let (first, second) = (waits(&locks), waits(&locks));
    sleep(Duration::from_secs(2)).await;
    let newcomer = store.supervisor().build();
    let error = newcomer.lock("k").acquire().await.unwrap_err();
    assert!(matches!(&error, AcquireError::Backend(error) if error.kind() == ErrorKind::Unavailable), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let (guard, at) = first.await.unwrap().unwrap();
    assert!(at - began >= Duration::from_secs(40) && at - began < Duration::from_secs(43), "{:?}", at - began);
    guard.release().await.unwrap();
    second.await.unwrap().unwrap().0.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn those_behind_in_a_process_are_as_patient_when_the_first_leaves_during_the_outage() {
    let store = out_of_reach(Duration::from_secs(1), Duration::from_secs(30));
    held_elsewhere(&store, Duration::from_secs(20)).await;
    let locks = store.supervisor().build();
    let first = tokio::spawn({
        let locks = locks.clone();
        async move { locks.lock("k").wait_at_most(Duration::from_secs(5)).acquire().await.map(drop) }
    });
    sleep(Duration::from_millis(100)).await;
    let second = tokio::spawn(async move { locks.lock("k").acquire().await.map(drop) });
    first.await.unwrap().unwrap_err();
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_does_not_end_is_told_to_who_stands_in_line() {
    let store = out_of_reach(Duration::from_secs(1), Duration::MAX);
    held_elsewhere(&store, Duration::from_secs(600)).await;
    let locks = store.supervisor().wait_patience(Duration::from_secs(20)).build();
    let began = Instant::now();
    let waiting = |locks: lock_core::Supervisor| {
        tokio::spawn(async move {
            let error = locks.lock("k").acquire().await.unwrap_err();
            assert!(
                matches!(&error, AcquireError::Backend(error) if error.kind() == ErrorKind::Unavailable),
                "{error}"
            );
        })
    };
    let (first, second) = (waiting(locks.clone()), waiting(locks));
    first.await.unwrap();
    // The memory store's wait runs into the supervisor's own limit first.
    let told = began.elapsed();
    assert!(told > Duration::from_secs(20) && told < Duration::from_secs(55), "{told:?}");
    // Who is next has no better prospects: it is told as a newcomer would be.
    second.await.unwrap();
    let more = began.elapsed().saturating_sub(told);
    assert!(more < Duration::from_secs(6), "{more:?}");
}

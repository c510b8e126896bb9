//! Handles that are dropped, runtimes that end or block, and stores that are restless.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_core::{AcquireError, LockAdmin, LostReason, MemoryBackend, Operation, ReleaseError, Supervisor};
use support::{Fault, Faulty, Restless, TTL};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_acquire_outlives_the_last_handle_of_its_supervisor() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let first = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let waiting = tokio::spawn(store.supervisor().build().lock("k").ttl(TTL).acquire());
    sleep(TTL).await;
    first.release().await.unwrap();
    let second = waiting.await.unwrap().unwrap();
    sleep(TTL * 5).await;
    assert!(second.is_held(), "and is renewed");
    drop(second);
    sleep(Duration::from_millis(1)).await;
    assert!(store.is_free("k").await);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_acquire_is_cleaned_up_after_the_last_handle() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Acquire => Fault::DelayReply(Duration::from_secs(1)),
        _ => Fault::None,
    });
    let request = store.supervisor().build().lock("k").ttl(TTL);
    assert!(timeout(Duration::from_millis(500), request.acquire()).await.is_err());
    sleep(Duration::from_millis(1)).await;
    assert!(store.is_free("k").await);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_was_lost_is_released_after_the_last_handle() {
    let store = Faulty::healthy();
    let guard = store.supervisor().build().lock("k").ttl(TTL).max_hold(TTL / 10).acquire().await.unwrap();
    guard.lost().await;
    sleep(Duration::from_secs(2)).await;
    assert!(!store.is_free("k").await, "its lease lives on at the store");
    drop(guard);
    sleep(Duration::from_millis(1)).await;
    assert!(store.is_free("k").await);
}

#[test]
fn a_loss_is_told_on_another_runtime_than_the_heartbeats() {
    let ttl = Duration::from_millis(300);
    let first = runtime();
    let locks = Supervisor::new(MemoryBackend::new());
    let guard = first.block_on(locks.lock("k").ttl(ttl).acquire()).unwrap();
    drop(first);
    let began = Instant::now();
    let work = runtime().block_on(guard.run(async { sleep(Duration::from_secs(20)).await }));
    assert!(matches!(work.unwrap_err().reason(), LostReason::Expired { .. }));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_renewal_that_blocks_its_thread_delays_neither_the_verdict_nor_the_release() {
    let (ttl, blocked) = (Duration::from_millis(400), Duration::from_secs(8));
    let store = Faulty::new(move |call, _| match call.operation {
        Operation::Renew => Fault::Block(blocked),
        _ => Fault::None,
    });
    runtime().block_on(async {
        let locks = Supervisor::builder(Arc::new(store)).dedicated_thread().build();
        let guard = locks.lock("k").ttl(ttl).acquire().await.unwrap();
        let began = Instant::now();
        guard.lost().await;
        assert!(began.elapsed() < blocked / 2, "{:?}", began.elapsed());
        assert!(matches!(guard.release().await, Err(ReleaseError::Lost(_))));
        assert!(began.elapsed() < blocked / 2, "{:?}", began.elapsed());
    });
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_of_releases_that_failed() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Release { Fault::Deny } else { Fault::None });
    let locks = store.supervisor().build();
    let _guard = locks.lock("k").acquire().await.unwrap();
    let report = locks.shutdown().await;
    assert_eq!((report.unreleased(), report.is_clean()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_release_under_way() {
    let slow = Duration::from_secs(1);
    let store = Faulty::new(move |call, _| match call.operation {
        Operation::Release => Fault::ApplyLate(slow),
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").acquire().await.unwrap();
    let releasing = tokio::spawn(guard.release());
    sleep(Duration::from_millis(1)).await;
    assert!(locks.shutdown().await.is_clean());
    assert!(store.is_free("k").await);
    releasing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_store_whose_waits_end_at_once_neither_blocks_the_executor_nor_spins() {
    let locks = Supervisor::new(Restless);
    let acquire = locks.lock("k").wait_at_most(Duration::from_millis(200)).acquire();
    let error = timeout(Duration::from_secs(20), acquire).await.expect("the limit is kept").unwrap_err();
    assert!(matches!(error, AcquireError::WaitTimedOut { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_not_reported_as_a_holder() {
    let store = Faulty::new(|_, _| Fault::Refuse);
    let locks = store.supervisor().build();
    let error = locks.lock("k").wait_at_most(Duration::from_secs(1)).acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Backend(_)), "{error}");
    store.set_rule(|call, before| match (call.operation, before) {
        (Operation::Acquire, 1) => Fault::LoseReply,
        (Operation::Release, _) => Fault::None,
        _ => Fault::Refuse,
    });
    let error = locks.lock("k").wait_at_most(Duration::from_secs(1)).acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Backend(_) | AcquireError::Ambiguous(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn limits_without_end_do_not_overflow() {
    let store = Faulty::healthy();
    let locks = store.supervisor().call_timeout(Duration::MAX).patience(Duration::MAX).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock("k").ttl(TTL).acquire());
    sleep(Duration::from_secs(1)).await;
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hint_during_a_renewal_asks_for_another() {
    let hint = Arc::new(std::sync::Mutex::new(None));
    let store = Faulty::new(|call, before| match (call.operation, before) {
        (Operation::Renew, 0) => Fault::DelayReply(Duration::from_secs(1)),
        _ => Fault::None,
    });
    let hinting = support::Hinting { inner: store.clone(), hint: hint.clone() };
    let clock = Arc::new(lock_core::ManualClock::new());
    let locks = Supervisor::builder(Arc::new(hinting)).clock(clock).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    while store.calls(Operation::Renew).is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    // The renewal has been applied, and its reply is on the way.
    store.store.break_lock(guard.key(), None).await.unwrap();
    let (hint, owner): (lock_core::LossHint, lock_core::OwnerId) = hint.lock().unwrap().clone().unwrap();
    hint.fire(owner);
    let loss = timeout(Duration::from_millis(1_500), guard.lost()).await.expect("told after the reply, not later");
    assert!(matches!(loss.reason(), LostReason::TakenAway), "{loss}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_blamed_and_not_this_process() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Hang } else { Fault::None });
    let locks = store.supervisor().call_timeout(TTL * 2).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(TTL).await;
    let loss = guard.lost().await;
    assert!(loss.to_string().contains("no answer within"), "{loss}");
}

#[tokio::test(start_paused = true)]
async fn what_remains_ends_with_max_hold() {
    let locks = Faulty::healthy().supervisor().build();
    let guard = locks.lock("k").ttl(TTL).max_hold(Duration::from_secs(1)).acquire().await.unwrap();
    assert!(guard.remaining() <= Duration::from_secs(1));
}

//! Faults while a lock is held. Time is paused.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_core::{FencingGate, LockAdmin, LockKey, LockState, LostReason, ManualClock, Operation, Supervisor};
use support::{Fault, Faulty, TTL};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_healthy_lock_is_renewed_for_ever() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    for _ in 0..600 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(guard.state(), LockState::Held);
        assert!(guard.remaining() > TTL / 2);
    }
    let renewals = store.calls(Operation::Renew).len();
    assert!((115..=140).contains(&renewals), "about every five seconds: {renewals}");
}

#[tokio::test(start_paused = true)]
async fn a_first_lease_shorter_than_the_ttl_is_renewed_soon() {
    let first = Duration::from_secs(2);
    let store = Faulty::healthy().with_first_lease(first);
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    assert!(guard.remaining() < first, "{:?}", guard.remaining());
    sleep(Duration::from_millis(40)).await;
    assert_eq!(store.calls(Operation::Renew).len(), 0, "a lock let go by now costs no renewal");
    sleep(Duration::from_millis(30)).await;
    assert_eq!(store.calls(Operation::Renew).len(), 1);
    assert!(guard.remaining() > TTL * 9 / 10, "{:?}", guard.remaining());
}

#[tokio::test(start_paused = true)]
async fn a_first_lease_shorter_than_the_ttl_is_not_believed_in_for_longer() {
    let first = Duration::from_secs(2);
    let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Hang } else { Fault::None });
    let locks = store.with_first_lease(first).supervisor().build();
    let began = Instant::now();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    guard.lost().await;
    assert!(began.elapsed() < first, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn fault_07_a_renewals_reply_after_the_deadline_revives_nothing() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Renew => Fault::DelayReply(TTL),
        _ => Fault::None,
    });
    // A call limit beyond the TTL, so that the late reply does arrive.
    let locks = store.supervisor().call_timeout(TTL * 10).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let lost = guard.lost().await;
    assert!(matches!(lost.reason(), LostReason::Expired { .. }));
    sleep(TTL * 2).await;
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);
    assert_eq!(store.calls(Operation::Renew).len(), 1, "nothing lost is renewed");
}

#[tokio::test(start_paused = true)]
async fn fault_08_renew_says_not_yours_is_a_loss_at_once() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let began = Instant::now();
    store.store.break_lock(&LockKey::new("k").unwrap(), None).await.unwrap();
    let lost = guard.lost().await;
    assert!(matches!(lost.reason(), LostReason::TakenAway), "{lost}");
    assert!(began.elapsed() <= TTL / 3, "at the next renewal");
    assert!(!guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn fault_09_failing_renewals_are_retried_till_the_deadline_and_lost_before_the_stores_expiry() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Refuse } else { Fault::None });
    let locks = store.supervisor().build();
    let began = Instant::now();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(TTL / 2).await;
    assert_eq!(guard.state(), LockState::Unknown);
    assert!(guard.is_held(), "unknown is not lost");
    let lost = guard.lost().await;
    assert!(lost.to_string().contains("connection refused"), "{lost}");
    assert!(!store.is_free("k").await, "told before the store lets go");
    assert!(began.elapsed() > TTL * 9 / 10 && began.elapsed() < TTL, "{:?}", began.elapsed());
    let renewals = store.calls(Operation::Renew).len();
    assert!((5..60).contains(&renewals), "retried with backoff: {renewals}");
}

#[tokio::test(start_paused = true)]
async fn fault_09_a_store_that_comes_back_in_time_costs_nothing() {
    let start = Instant::now();
    let store = Faulty::new(move |call, _| {
        let down = start.elapsed() < TTL * 3 / 4;
        if down && call.operation == Operation::Renew { Fault::Hang } else { Fault::None }
    });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(TTL * 5).await;
    assert_eq!(guard.state(), LockState::Held);
}

#[tokio::test(start_paused = true)]
async fn a_hung_renewal_does_not_delay_the_verdict() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Hang } else { Fault::None });
    let locks = store.supervisor().call_timeout(TTL * 10).build();
    let began = Instant::now();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    guard.lost().await;
    assert!(began.elapsed() < TTL);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_before_the_request() {
    let slow = Duration::from_millis(1_900);
    let store = Faulty::new(
        move |call, _| if call.operation == Operation::Acquire { Fault::DelayReply(slow) } else { Fault::None },
    );
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    assert!(guard.remaining() < TTL.saturating_sub(slow));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_renewal_counts_from_before_its_request() {
    let slow = Duration::from_millis(1_900);
    let store = Faulty::new(
        move |call, _| if call.operation == Operation::Renew { Fault::DelayReply(slow) } else { Fault::None },
    );
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..200 {
        sleep(Duration::from_millis(100)).await;
        longest = longest.max(guard.remaining());
        let since_last = store.calls(Operation::Renew).last().map(|call| call.at.elapsed());
        if let Some(since) = since_last.filter(|since| *since >= slow) {
            assert!(guard.remaining() <= TTL.saturating_sub(since));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fault_11_stopped_past_the_ttl_the_first_look_says_lost_and_the_resource_refuses() {
    let store = Faulty::healthy();
    let clock = Arc::new(ManualClock::new());
    let locks = Supervisor::builder(Arc::new(store.clone())).clock(clock.clone()).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let resource = FencingGate::new();
    resource.admit(guard.fencing_token(), guard.owner()).unwrap();
    // The whole process stands still: no timer fires, and then the clock has moved on.
    clock.jump(TTL);
    assert!(!guard.is_held());
    let successor = Faulty::healthy().supervisor().build();
    drop(successor);
    store.store.break_lock(&LockKey::new("k").unwrap(), None).await.unwrap();
    let next = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    resource.admit(next.fencing_token(), next.owner()).unwrap();
    assert!(resource.admit(guard.fencing_token(), guard.owner()).is_err());
}

#[tokio::test]
async fn fault_12_executor_blocked_past_the_ttl() {
    let ttl = Duration::from_millis(60);
    let locks = Supervisor::new(lock_core::MemoryBackend::new());
    let guard = locks.lock("k").ttl(ttl).acquire().await.unwrap();
    let worked = guard.run(async { std::thread::sleep(ttl * 2) }).await;
    assert!(matches!(worked.unwrap_err().reason(), LostReason::Expired { .. }), "the result isn't handed out");
    assert!(!guard.is_held());
}

#[test]
fn fault_12_a_dedicated_thread_keeps_the_lock_of_a_blocked_executor() {
    let ttl = Duration::from_millis(300);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let backend = Arc::new(lock_core::MemoryBackend::new());
        let locks = Supervisor::builder(backend).dedicated_thread().build();
        let guard = locks.lock("k").ttl(ttl).acquire().await.unwrap();
        std::thread::sleep(ttl * 3);
        assert!(guard.is_held());
        guard.release().await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn fault_13_the_wall_clock_has_no_say_in_validity() {
    // Here tokio's time passes and the wall clock practically stands still, as if it were set back
    // all the time; each backend has a test in which it jumps.
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(TTL * 4).await;
    assert_eq!(guard.state(), LockState::Held);
}

#[tokio::test(start_paused = true)]
async fn fault_14_suspended_past_the_ttl_is_lost_soon_after_the_resume() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Hang } else { Fault::None });
    let clock = Arc::new(ManualClock::new());
    let locks = Supervisor::builder(Arc::new(store)).clock(clock.clone()).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    clock.jump(TTL * 2);
    let resumed = Instant::now();
    // Asked by nobody, the heartbeat notices by itself although its timers stood still.
    guard.lost().await;
    assert!(resumed.elapsed() <= Duration::from_millis(500), "{:?}", resumed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn fault_15_clocks_one_percent_apart_never_believe_longer_than_the_store() {
    for rate_ppm in [-10_000, 0, 10_000] {
        let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Refuse } else { Fault::None });
        let clock = Arc::new(ManualClock::new());
        clock.set_rate_ppm(rate_ppm);
        let locks = Supervisor::builder(Arc::new(store.clone())).clock(clock).build();
        let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
        guard.lost().await;
        assert!(!store.is_free("k").await, "lost before the store's expiry at {rate_ppm} ppm");
    }
}

#[tokio::test(start_paused = true)]
async fn run_drops_its_work_when_the_lock_is_lost() {
    struct Told(Arc<AtomicBool>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Refuse } else { Fault::None });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    assert_eq!(guard.run(async { 7 }).await.unwrap(), 7);
    let dropped = Arc::new(AtomicBool::new(false));
    let told = Told(dropped.clone());
    let work = async move {
        let _told = told;
        std::future::pending::<()>().await;
    };
    assert!(guard.run(work).await.is_err());
    assert!(dropped.load(Ordering::SeqCst));
    assert!(!store.is_free("k").await, "dropped before the store lets go");
    assert!(guard.run(async { 7 }).await.is_err(), "and nothing is begun any more");
}

#[tokio::test(start_paused = true)]
async fn max_hold_ends_a_lock_however_alive_its_holder() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).max_hold(TTL * 2).acquire().await.unwrap();
    let began = Instant::now();
    let lost = guard.lost().await;
    assert!(matches!(lost.reason(), LostReason::MaxHold));
    assert!(began.elapsed() >= TTL * 2 && began.elapsed() < TTL * 2 + Duration::from_millis(10));
    let renewals = store.calls(Operation::Renew).len();
    sleep(TTL * 2).await;
    assert_eq!(store.calls(Operation::Renew).len(), renewals, "not renewed any more");
    assert!(store.is_free("k").await);
}

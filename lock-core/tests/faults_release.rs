//! Faults at the end of a lock's life, and many locks at once. Time is paused unless said.

mod support;

use std::sync::Arc;
use std::time::Duration;

use lock_core::{AcquireError, LockAdmin, LockState, LostReason, MemoryBackend, Operation, ReleaseError, Supervisor};
use support::{Fault, Faulty, TTL};
use tokio::time::{Instant, sleep};

#[test]
fn fault_06_guard_dropped_outside_a_runtime_and_while_the_runtime_shuts_down() {
    let store = MemoryBackend::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let locks = Supervisor::new(store.clone());
    let (outside, during) = runtime.block_on(async {
        (locks.lock("outside").acquire().await.unwrap(), locks.lock("during").acquire().await.unwrap())
    });
    drop(outside);
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while runtime.block_on(is_held(&store, "outside")) {
        assert!(std::time::Instant::now() < until, "released by the heartbeat, which still runs");
        std::thread::sleep(Duration::from_millis(1));
    }
    runtime.spawn(async move {
        let _during = during;
        std::future::pending::<()>().await;
    });
    drop(runtime);
    drop(locks);
}

#[test]
fn a_second_runtime_takes_over_when_the_first_is_gone() {
    let store = MemoryBackend::new();
    let locks = Supervisor::new(store.clone());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ttl = Duration::from_millis(200);
    let first = runtime();
    let kept = first.block_on(locks.lock("kept").ttl(ttl * 50).acquire()).unwrap();
    drop(first);
    let second = runtime();
    second.block_on(async {
        let guard = locks.lock("k").ttl(ttl).acquire().await.unwrap();
        sleep(ttl * 3).await;
        assert!(guard.is_held() && kept.is_held());
        drop(kept);
        guard.release().await.unwrap();
        assert_eq!(locks.shutdown().await.unreleased(), 0);
        assert!(!is_held(&store, "kept").await);
    });
}

async fn is_held(store: &MemoryBackend, key: &str) -> bool {
    store.inspect(&key.try_into().unwrap()).await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn fault_10_no_renewal_after_the_release() {
    // The renewal is under way, slow, when the guard is released; and the other way: dropped.
    for dropped in [false, true] {
        let store = Faulty::new(|call, _| match call.operation {
            Operation::Renew => Fault::ApplyLate(Duration::from_secs(1)),
            _ => Fault::None,
        });
        let locks = store.supervisor().build();
        let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
        while store.calls(Operation::Renew).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let asked = Instant::now();
        if dropped {
            drop(guard);
            sleep(Duration::from_secs(2)).await;
        } else {
            guard.release().await.unwrap();
        }
        let released = store.calls(Operation::Release);
        assert_eq!(released.len(), 1);
        assert!(released[0].at >= asked + Duration::from_millis(900), "after the renewal had its answer");
        sleep(TTL * 3).await;
        assert_eq!(store.calls(Operation::Renew).len(), 1);
        assert!(store.is_free("k").await);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_19_release_after_expiry_touches_no_successor() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Refuse } else { Fault::None });
    let (one, two) = (store.supervisor().build(), store.supervisor().build());
    let late = one.lock("k").ttl(TTL).acquire().await.unwrap();
    let successor = two.lock("k").ttl(TTL * 100).acquire().await.unwrap();
    assert!(!late.is_held());
    let error = late.release().await.unwrap_err();
    assert!(matches!(error, ReleaseError::Lost(_)), "told, and nothing else happens: {error}");
    assert!(!store.is_free("k").await);
    assert!(successor.is_held());
    successor.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_of_what_was_taken_away_says_so() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    store.store.break_lock(guard.key(), None).await.unwrap();
    assert!(guard.is_held(), "not noticed yet");
    match guard.release().await.unwrap_err() {
        ReleaseError::Lost(loss) => assert!(matches!(loss.reason(), LostReason::TakenAway)),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_reply_was_lost_is_no_loss() {
    let store = Faulty::new(|call, before| match (call.operation, before) {
        (Operation::Release, 0) => Fault::LoseReply,
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    locks.lock("k").ttl(TTL).acquire().await.unwrap().release().await.unwrap();
    assert_eq!(store.calls(Operation::Release).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_release_is_tried_again_for_one_ttl_and_no_longer() {
    let start = Instant::now();
    let store = Faulty::new(move |call, _| match call.operation {
        Operation::Release if start.elapsed() < TTL / 2 => Fault::Refuse,
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    guard.release().await.unwrap();

    store.set_rule(|call, _| if call.operation == Operation::Release { Fault::Hang } else { Fault::None });
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let began = Instant::now();
    assert!(matches!(guard.release().await, Err(ReleaseError::Store(_))));
    assert!(began.elapsed() <= TTL, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_release_goes_on_in_the_background() {
    let store = Faulty::new(|call, before| match (call.operation, before) {
        (Operation::Release, 0) => Fault::Hang,
        _ => Fault::None,
    });
    let locks = store.supervisor().build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), guard.release()).await.is_err());
    sleep(Duration::from_millis(100)).await;
    assert!(store.is_free("k").await);
}

#[tokio::test(start_paused = true)]
async fn fault_21_heartbeats_of_100_000_locks_are_bounded_spread_and_starve_none() {
    let (number, ttl) = (100_000_u32, Duration::from_secs(30));
    let store = MemoryBackend::new();
    let builder = Supervisor::builder(Arc::new(store)).clock(Arc::new(lock_core::ManualClock::new()));
    let locks = builder.calls_at_once(64).build();
    let mut guards = Vec::new();
    for n in 0..number {
        guards.push(locks.lock(format!("lock/{n}")).ttl(ttl).acquire().await.unwrap());
    }
    // Taken in one instant, they don't all come due in one: at any time the next deadlines are spread. Soon after the first
    // renewals, that is by what the first heartbeat adds at random; later the limit of calls at once would do it, too.
    for then in [ttl * 7 / 20, ttl * 23 / 20] {
        sleep(then).await;
        assert!(guards.iter().all(|guard| guard.state() == LockState::Held));
        let mut left: Vec<_> = guards.iter().map(lock_core::LockGuard::remaining).collect();
        left.sort_unstable();
        assert!(left[left.len() * 9 / 10] > left[left.len() / 10] + ttl / 10, "spread");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_21_renewals_under_way_at_once_are_bounded() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Renew => Fault::DelayReply(Duration::from_millis(100)),
        _ => Fault::None,
    });
    let locks = store.supervisor().calls_at_once(8).build();
    let mut guards = Vec::new();
    for n in 0..200 {
        guards.push(locks.lock(format!("{n}")).ttl(TTL).acquire().await.unwrap());
    }
    sleep(TTL * 2).await;
    assert!(guards.iter().all(lock_core::LockGuard::is_held));
    let calls = store.calls(Operation::Renew);
    let at_once = |call: &support::Call| {
        calls.iter().filter(|other| other.at <= call.at && call.at < other.at + Duration::from_millis(100)).count()
    };
    assert!(calls.iter().all(|call| at_once(call) <= 8));
}

#[tokio::test(start_paused = true)]
async fn fault_22_one_key_that_hangs_delays_no_other() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Renew | Operation::Release if call.key == "hangs" => Fault::Hang,
        _ => Fault::None,
    });
    let locks = store.supervisor().calls_at_once(2).build();
    let hangs = locks.lock("hangs").ttl(TTL).acquire().await.unwrap();
    let mut others = Vec::new();
    for n in 0..50 {
        others.push(locks.lock(format!("{n}")).ttl(TTL).acquire().await.unwrap());
    }
    sleep(TTL * 3).await;
    assert!(!hangs.is_held());
    drop(hangs);
    sleep(TTL * 2).await;
    assert!(others.iter().all(|guard| guard.state() == LockState::Held));
}

#[tokio::test(start_paused = true)]
async fn fault_22_releases_that_hang_delay_no_renewal() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Release { Fault::Hang } else { Fault::None });
    let locks = store.supervisor().calls_at_once(2).build();
    let mut dropped = Vec::new();
    for n in 0..10 {
        dropped.push(locks.lock(format!("dropped/{n}")).ttl(TTL * 10).acquire().await.unwrap());
    }
    let kept = locks.lock("kept").ttl(TTL).acquire().await.unwrap();
    drop(dropped);
    sleep(TTL * 5).await;
    assert_eq!(kept.state(), LockState::Held);
}

#[tokio::test(start_paused = true)]
async fn fault_23_shutdown_releases_what_is_held_and_ends_what_is_under_way() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("held").ttl(TTL).acquire().await.unwrap();
    let waiter = tokio::spawn(locks.lock("held").acquire());
    let second_waiter = tokio::spawn(locks.lock("held").acquire());
    store.set_rule(|call, _| match (call.operation, &*call.key) {
        (Operation::Acquire, "under way") => Fault::DelayReply(Duration::from_secs(1)),
        _ => Fault::None,
    });
    let under_way = tokio::spawn(locks.lock("under way").acquire());
    sleep(Duration::from_millis(10)).await;
    assert_eq!(locks.shutdown().await.unreleased(), 0);
    for acquire in [waiter, second_waiter, under_way] {
        assert!(matches!(acquire.await.unwrap(), Err(AcquireError::ShutDown)));
    }
    assert!(store.is_free("held").await && store.is_free("under way").await);
    assert!(matches!(guard.lost().await.reason(), LostReason::ShutDown));
    assert!(matches!(locks.lock("k").acquire().await, Err(AcquireError::ShutDown)));
    assert_eq!(locks.shutdown().await.unreleased(), 0, "again");
}

#[tokio::test(start_paused = true)]
async fn fault_23_shutdown_is_bounded_and_tells_what_it_left() {
    let store = Faulty::new(|call, _| if call.operation == Operation::Release { Fault::Hang } else { Fault::None });
    let locks = store.supervisor().shutdown_within(Duration::from_secs(3)).build();
    let _guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let began = Instant::now();
    assert_eq!(locks.shutdown().await.unreleased(), 1);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn fault_24_panic_in_the_holder_releases() {
    let store = Faulty::healthy();
    let locks = store.supervisor().build();
    let guard = locks.lock("k").acquire().await.unwrap();
    let panicked = tokio::spawn(async move {
        let _guard = guard;
        panic!("in the holder");
    });
    assert!(panicked.await.is_err());
    sleep(Duration::from_millis(1)).await;
    assert!(store.is_free("k").await);
}

#[tokio::test(start_paused = true)]
async fn a_guard_outlives_its_supervisor() {
    let store = Faulty::healthy();
    let guard = store.supervisor().build().lock("k").ttl(TTL).acquire().await.unwrap();
    sleep(TTL * 3).await;
    assert!(guard.is_held());
    drop(guard);
    sleep(Duration::from_millis(1)).await;
    assert!(store.is_free("k").await);
}

#[tokio::test(start_paused = true)]
async fn a_loss_hint_renews_at_once() {
    let hint = Arc::new(std::sync::Mutex::new(None));
    let store = Faulty::healthy();
    let hinting = support::Hinting { inner: store.clone(), hint: hint.clone() };
    let clock = Arc::new(lock_core::ManualClock::new());
    let locks = Supervisor::builder(Arc::new(hinting)).clock(clock).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    store.store.break_lock(guard.key(), None).await.unwrap();
    let (hint, owner): (lock_core::LossHint, lock_core::OwnerId) = hint.lock().unwrap().clone().unwrap();
    hint.fire(owner);
    let told = Instant::now();
    assert!(matches!(guard.lost().await.reason(), LostReason::TakenAway));
    assert!(told.elapsed() <= Duration::from_millis(2), "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_in_a_renewal_loses_its_lock_and_no_other() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Renew if call.key == "panics" => Fault::Panic,
        _ => Fault::None,
    });
    let locks = store.supervisor().calls_at_once(1).build();
    let panics = locks.lock("panics").ttl(TTL).acquire().await.unwrap();
    let other = locks.lock("other").ttl(TTL).acquire().await.unwrap();
    assert!(matches!(panics.lost().await.reason(), LostReason::Expired { .. }));
    assert!(matches!(panics.release().await, Err(ReleaseError::Lost(_))));
    sleep(TTL * 2).await;
    assert_eq!(other.state(), LockState::Held);
}

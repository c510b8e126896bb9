//! What a lease's timers owe to those who only wait: they are told without asking.

mod support;

use std::sync::Arc;
use std::time::Duration;

use lock_core::{ManualClock, Operation, Supervisor};
use support::{Fault, Faulty, TTL};
use tokio::time::{Instant, sleep};

fn hung_renewals() -> Faulty {
    Faulty::new(|call, _| if call.operation == Operation::Renew { Fault::Hang } else { Fault::None })
}

/// Awaiting `lost()` asks once, at its first poll: so it is polled before the clock jumps.
#[tokio::test(start_paused = true)]
async fn one_who_waits_for_the_loss_is_told_soon_after_a_resume() {
    let clock = Arc::new(ManualClock::new());
    let locks = Supervisor::builder(Arc::new(hung_renewals())).clock(clock.clone()).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    let lost = tokio::spawn(guard.lost());
    sleep(Duration::from_secs(1)).await;
    assert!(!lost.is_finished());
    clock.jump(TTL * 2);
    let resumed = Instant::now();
    lost.await.unwrap();
    assert!(resumed.elapsed() <= Duration::from_millis(510), "{:?}", resumed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hung_renewal_delays_no_verdict_by_a_moment() {
    let ttl = Duration::from_secs(1);
    let locks = hung_renewals().supervisor().call_timeout(ttl * 10).build();
    let mut told = Vec::new();
    for number in 0..5 {
        let guard = locks.lock(format!("{number}")).ttl(ttl).acquire().await.unwrap();
        let began = Instant::now();
        told.push(tokio::spawn(async move {
            guard.lost().await;
            began.elapsed()
        }));
        sleep(Duration::from_millis(110)).await;
    }
    for told in told {
        let after = told.await.unwrap();
        assert!(after < ttl, "told after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_waits_for_a_slot_is_not_sent_once_the_lock_is_let_go() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Renew if call.key == "slow" => Fault::DelayReply(Duration::from_secs(2)),
        _ => Fault::None,
    });
    let locks = store.supervisor().calls_at_once(1).call_timeout(Duration::from_secs(10)).build();
    let _slow = locks.lock("slow").ttl(TTL).acquire().await.unwrap();
    let mut others = Vec::new();
    for number in 0..20 {
        others.push(locks.lock(format!("{number}")).ttl(TTL).acquire().await.unwrap());
    }
    while store.calls(Operation::Renew).iter().all(|call| call.key != "slow") {
        sleep(Duration::from_millis(10)).await;
    }
    // The one slot is taken: all that come due meanwhile wait for it.
    sleep(Duration::from_millis(1_900)).await;
    drop(others);
    let dropped = Instant::now();
    sleep(TTL).await;
    let late = |call: &&support::Call| call.at > dropped && call.key != "slow";
    assert_eq!(store.calls(Operation::Renew).iter().find(late), None);
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_after_the_loss_has_not_succeeded() {
    let clock = Arc::new(ManualClock::new());
    let locks = Supervisor::builder(Arc::new(Faulty::healthy())).clock(clock.clone()).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    // All in one poll: no timer could stop it.
    let work = async {
        clock.jump(TTL * 2);
        7
    };
    assert!(guard.run(work).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_hung_renewal_gives_its_slot_back_at_the_deadline() {
    let store = Faulty::new(|call, _| match call.operation {
        Operation::Renew if call.key == "hangs" => Fault::Hang,
        _ => Fault::None,
    });
    let locks = store.supervisor().calls_at_once(1).call_timeout(TTL * 100).build();
    let hangs = locks.lock("hangs").ttl(TTL / 5).acquire().await.unwrap();
    let other = locks.lock("other").ttl(TTL).acquire().await.unwrap();
    sleep(TTL * 3).await;
    assert!(!hangs.is_held());
    assert!(other.is_held(), "its renewals wait for the only slot no longer than the other's lease lives");
}

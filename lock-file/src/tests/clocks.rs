//! Clocks, boots, namespaces.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    Clock, FencingToken, LeaseClock, LockBackend, ManualClock, Release, Renewal, Supervisor, SystemClock, Takeover,
    Timestamp,
};

use super::{TTL, granted, held, open, open_on, release, renewal, request, run};
use crate::host::Host;

#[tokio::test]
async fn fault_54_an_expired_lock_is_taken_over_and_its_holder_finds_itself_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (mine, next) = (request("k"), request("k"));
    let first = granted(&a, &mine).await;
    held(&b, &next).await;
    b.shared.host.hand.move_lease_clock(TTL);
    let second = granted(&b, &next).await;
    assert_eq!(second.takeover(), Takeover::Expired);
    assert!(second.token() > first.token());
    assert_eq!(renewal(&a, &mine, first.token()).await, Renewal::Lost);
    assert_eq!(release(&a, &mine).await, Release::NotHeld);
}

/// A suspend: clocks that count it have gone on, and the lease clock stood still for all processes of the host.
#[tokio::test]
async fn fault_14_suspended_past_the_ttl_is_still_held_with_the_file_backend() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let clock = Arc::new(ManualClock::new());
    let locks = Supervisor::builder(a.clone()).clock(clock.clone()).build();
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    for backend in [&a, &b] {
        backend.shared.host.hand.freeze(a.shared.host.now());
    }
    // Supervisors have the clock that the backend names.
    if a.capabilities().lease_clock() == LeaseClock::Boot {
        clock.jump(TTL * 5);
    }
    assert!(guard.is_held());
    assert_eq!(held(&b, &request("k")).await.owner(), Some(guard.owner()), "and nobody else gets it");
    guard.release().await.unwrap();
}

/// What the test above takes for granted. (Where the host was never suspended, the other clock says the same.)
#[cfg(target_os = "linux")]
#[test]
fn deadlines_are_by_the_clock_that_stands_still_in_a_suspend() {
    let monotonic = || SystemClock::new(LeaseClock::Monotonic).now().since(Timestamp::ZERO);
    let (before, now, after) = (monotonic(), Duration::from_nanos(Host::this().now()), monotonic());
    assert!(before <= now && now <= after, "{before:?}, {now:?}, {after:?}");
}

#[tokio::test]
async fn a_renewal_after_the_old_deadline_is_a_loss_even_if_nobody_came() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let mine = request("k");
    let token = granted(&a, &mine).await.token();
    a.shared.host.hand.move_lease_clock(TTL / 2);
    assert_eq!(renewal(&a, &mine, token).await, Renewal::Renewed(mine.ttl()));
    a.shared.host.hand.move_lease_clock(TTL);
    assert_eq!(renewal(&a, &mine, token).await, Renewal::Lost);
    assert_eq!(renewal(&a, &mine, token).await, Renewal::Lost, "nothing revives it");
}

#[tokio::test]
async fn a_renewed_lock_is_not_taken_at_its_first_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mine = request("k");
    let token = granted(&a, &mine).await.token();
    a.shared.host.hand.move_lease_clock(Duration::from_secs(10));
    assert_eq!(renewal(&a, &mine, token).await, Renewal::Renewed(mine.ttl()));
    b.shared.host.hand.move_lease_clock(TTL);
    assert_eq!(held(&b, &request("k")).await.owner(), Some(mine.owner()));
}

#[tokio::test]
async fn the_owner_of_an_expired_lock_that_asks_again_gets_a_new_grant() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let mine = request("k");
    let first = granted(&a, &mine).await.token();
    a.shared.host.hand.move_lease_clock(TTL);
    assert!(granted(&a, &mine).await.token() > first);
}

#[tokio::test]
async fn tokens_grow_when_the_wall_clock_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mut last = FencingToken::new(0);
    for backend in [&a, &b, &b, &b, &a] {
        // An hour further back each time: the clock alone would repeat itself.
        backend.shared.host.hand.set_wall_clock_back(Duration::from_secs(3600));
        let mine = request("k");
        let token = granted(backend, &mine).await.token();
        assert!(token > last, "{token} after {last}");
        last = token;
        release(backend, &mine).await;
    }
}

#[tokio::test]
async fn fault_59_tokens_grow_when_the_directory_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let mine = request("k");
    let last = granted(&a, &mine).await.token();
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(renewal(&a, &mine, last).await, Renewal::Lost);
    assert!(granted(&open(dir.path()), &request("k")).await.token() > last);
}

fn another_boot() -> Host {
    Host { boot: Some("another boot".to_owned()), ..Host::this() }
}

fn another_namespace() -> Host {
    Host { time_ns: Some("time:[1]".to_owned()), ..Host::this() }
}

#[tokio::test]
async fn fault_61_a_record_of_another_boot_is_stale_and_the_next_token_is_higher() {
    let dir = tempfile::tempdir().unwrap();
    let mine = request("k");
    let last = granted(&open_on(dir.path(), another_boot()), &mine).await.token();
    // The backend is gone, and with it the kernel lock, as after a reboot.
    let b = open(dir.path());
    let next = granted(&b, &request("k")).await;
    assert_eq!(next.takeover(), Takeover::Crashed);
    assert!(next.token() > last);
}

#[tokio::test]
async fn fault_61_deadlines_of_another_boot_are_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open_on(dir.path(), another_boot()), open(dir.path()));
    let mine = request("k");
    granted(&a, &mine).await;
    b.shared.host.hand.move_lease_clock(10 * TTL);
    let told = held(&b, &request("k")).await;
    assert_eq!((told.owner(), told.expires_in()), (Some(mine.owner()), None));
}

#[tokio::test]
async fn fault_62_in_another_time_namespace_the_kernel_lock_alone_decides() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open_on(dir.path(), another_namespace()), open(dir.path()));
    let mine = request("k");
    granted(&a, &mine).await;
    b.shared.host.hand.move_lease_clock(10 * TTL);
    assert_eq!(held(&b, &request("k")).await.owner(), Some(mine.owner()));
    drop(a);
    assert_eq!(granted(&b, &request("k")).await.takeover(), Takeover::Crashed);
}

#[tokio::test]
async fn a_renewal_between_the_look_at_the_clock_and_the_record_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mine = request("k");
    let token = granted(&a, &mine).await.token();
    a.shared.host.hand.move_lease_clock(TTL / 2);
    let (a2, b2, mine2) = (a.clone(), b.clone(), mine.clone());
    b.shared.host.hand.when_asked(move || {
        assert_eq!(run(renewal(&a2, &mine2, token)), Renewal::Renewed(mine2.ttl()));
        b2.shared.host.hand.move_lease_clock(TTL);
    });
    assert_eq!(held(&b, &request("k")).await.owner(), Some(mine.owner()));
}

#[tokio::test]
async fn a_release_between_the_look_at_the_record_and_the_probe_is_no_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mine = request("k");
    granted(&a, &mine).await;
    b.shared.host.hand.when_probing(move || {
        run(release(&a, &mine));
        // The end of its process lets go of the kernel lock, too.
        drop(a);
    });
    assert_eq!(granted(&b, &request("k")).await.takeover(), Takeover::None);
}

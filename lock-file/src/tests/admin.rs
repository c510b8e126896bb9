//! Listing, inspecting, breaking, checking.

use lock_core::{BreakOutcome, FencingToken, LockAdmin, Release, Renewal, Severity};

use super::{generations, granted, held, key, open, release, renewal, request, run};
use crate::seam::Point;
use crate::slot::Slot;

#[tokio::test]
async fn a_broken_holder_is_lost_and_the_next_token_is_higher() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (mine, next) = (request("k"), request("k"));
    a.shared.host.hand.set_wall_clock_back(std::time::Duration::ZERO);
    let grant = granted(&a, &mine).await;
    let BreakOutcome::Broken(record) = b.break_lock(&key("k"), Some(grant.token())).await.unwrap() else { panic!() };
    assert_eq!(record.owner(), Some(mine.owner()));
    assert_eq!(b.break_lock(&key("k"), None).await.unwrap(), BreakOutcome::Free);
    assert_eq!(b.inspect(&key("k")).await.unwrap(), None);
    assert_eq!(renewal(&a, &mine, grant.token()).await, Renewal::Lost);
    assert_eq!(release(&a, &mine).await, Release::NotHeld);
    b.shared.host.hand.set_wall_clock_back(std::time::Duration::from_secs(3600));
    assert!(granted(&b, &next).await.token() > grant.token());
}

#[tokio::test]
async fn a_release_after_a_break_leaves_the_successor_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (mine, next) = (request("k"), request("k"));
    granted(&a, &mine).await;
    b.break_lock(&key("k"), None).await.unwrap();
    let token = granted(&b, &next).await.token();
    assert_eq!(release(&a, &mine).await, Release::NotHeld);
    assert_eq!(renewal(&b, &next, token).await, Renewal::Renewed(next.ttl()));
    assert_eq!(held(&a, &mine).await.owner(), Some(next.owner()));
}

#[tokio::test]
async fn a_break_by_token_spares_another_holder() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (mine, next) = (request("k"), request("k"));
    let token = granted(&a, &mine).await.token();
    let other = Some(FencingToken::new(token.get() + 1));
    assert!(matches!(b.break_lock(&key("k"), other).await.unwrap(), BreakOutcome::TokenDiffers(_)));
    // The holder changes between the comparison and the break.
    let (a2, mine2, next2) = (a.clone(), mine.clone(), next.clone());
    b.shared.seam.once_at(Point::BeforePublish, move || {
        run(release(&a2, &mine2));
        run(granted(&a2, &next2));
    });
    assert!(matches!(b.break_lock(&key("k"), Some(token)).await.unwrap(), BreakOutcome::TokenDiffers(_)));
    assert_eq!(held(&b, &request("k")).await.owner(), Some(next.owner()));
}

#[tokio::test]
async fn lists_what_is_held_by_prefix_and_tells_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (one, two, free) = (request("p/1"), request("p/2"), request("p/3"));
    for request in [&two, &one, &request("q"), &free] {
        granted(&a, request).await;
    }
    release(&a, &free).await;
    let keys: Vec<_> = b.list("p/").await.unwrap().iter().map(|r| r.key().clone()).collect();
    assert_eq!(keys, [key("p/1"), key("p/2")]);
    let record = b.inspect(&key("p/1")).await.unwrap().unwrap();
    assert_eq!((record.pid(), record.owner()), (Some(std::process::id()), Some(one.owner())));
    assert_eq!(record.ttl(), Some(one.ttl()));
    assert!(record.acquired_at().is_some() && record.expires_in().unwrap() <= one.ttl().get());
}

#[tokio::test]
async fn preflight_finds_nothing_wrong_with_a_good_directory_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let backend = open(dir.path());
    let findings = backend.preflight().await;
    for check in ["directory-mode", "file-system", "writable", "kernel-locks", "no-replace"] {
        let finding = findings.iter().find(|finding| finding.check() == check).unwrap();
        assert_eq!(finding.severity(), Severity::Good, "{finding:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
    assert!(generations(&backend, "k").is_empty());
}

#[tokio::test]
async fn who_acquires_in_the_middle_of_a_break_must_wait_for_its_end() {
    for by_token in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, c) = (open(dir.path()), open(dir.path()), open(dir.path()));
        let (mine, next) = (request("k"), request("k"));
        let token = granted(&a, &mine).await.token();
        let (c2, next2) = (c.clone(), next.clone());
        b.shared.seam.once_at(Point::AfterPublish, move || {
            drop(run(lock_core::LockBackend::try_acquire(&*c2, &next2)));
            // Another break finds nobody who holds it.
            assert_eq!(run(c2.break_lock(&key("k"), None)).unwrap(), BreakOutcome::Free);
        });
        let outcome = b.break_lock(&key("k"), by_token.then_some(token)).await.unwrap();
        let BreakOutcome::Broken(record) = outcome else { panic!("{outcome:?}") };
        assert_eq!(record.owner(), Some(mine.owner()), "and nobody else");
        assert!(granted(&c, &next).await.token() > token);
        assert_eq!(renewal(&a, &mine, token).await, Renewal::Lost);
    }
}

#[tokio::test]
async fn a_break_that_stops_half_way_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (open(dir.path()), open(dir.path()), open(dir.path()));
    let next = request("k");
    granted(&a, &request("k")).await;
    let (b2, c2, next2) = (b.clone(), c.clone(), next.clone());
    b.shared.seam.once_at(Point::AfterPublish, move || {
        for backend in [&b2, &c2] {
            backend.shared.host.hand.move_lease_clock(std::time::Duration::from_secs(5));
        }
        run(granted(&c2, &next2));
    });
    assert!(b.break_lock(&key("k"), None).await.is_err(), "whether it broke the lock can't be told");
    assert_eq!(held(&b, &request("k")).await.owner(), Some(next.owner()));
}

#[tokio::test]
async fn one_odd_entry_does_not_hide_the_other_locks() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    granted(&a, &request("good")).await;
    for odd in ["odd", "unlike"] {
        std::fs::create_dir(dir.path().join(odd)).unwrap();
        let place = Slot::of(dir.path(), &key(odd)).generation(7);
        std::os::unix::fs::symlink("/etc/passwd", place).unwrap();
    }
    let listed = a.list("").await.unwrap();
    let told: Vec<_> = listed.iter().map(|record| (record.key().as_str(), record.owner().is_some())).collect();
    assert_eq!(told, [("good", true), ("odd", false), ("unlike", false)]);
    assert_eq!(a.list("o").await.unwrap().len(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stranger_who_has_the_holders_process_id_is_not_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut stranger = crate::host::Host::this();
    // As a record looks whose process is gone: the one that has its number now began later.
    stranger.started = stranger.started.map(|ticks| ticks - 1);
    let (a, b) = (super::open_on(dir.path(), stranger), open(dir.path()));
    granted(&a, &request("k")).await;
    granted(&b, &request("mine")).await;
    assert_eq!(b.inspect(&key("k")).await.unwrap().unwrap().pid(), None);
    assert_eq!(held(&b, &request("k")).await.pid(), None);
    assert_eq!(b.list("").await.unwrap().iter().filter(|record| record.pid().is_some()).count(), 1);
    // Of another boot nothing can be said.
    let other = crate::host::Host { boot: Some("another".to_owned()), ..crate::host::Host::this() };
    let other = super::open_on(dir.path(), other);
    assert_eq!(other.inspect(&key("k")).await.unwrap().unwrap().pid(), Some(std::process::id()));
}

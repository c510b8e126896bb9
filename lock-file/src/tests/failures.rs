//! Disks that are full, records that are damaged, files that are gone.

use std::io;
use std::os::unix::fs::FileExt;

use lock_core::{ErrorKind, FencingToken, Lease, LockAdmin, LockBackend, Release, Renewal, Takeover};

use super::{TTL, current_file, generations, granted, held, key, open, release, renewal, request};
use crate::seam::Point;
use crate::slot::Slot;

#[tokio::test]
async fn fault_56_disk_full_on_acquire_is_a_typed_error_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    a.shared.seam.fail_next_write(io::ErrorKind::StorageFull.into());
    let error = a.try_acquire(&request("k")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.advice().unwrap().contains("df -h"), "{error}");
    assert!(generations(&a, "k").is_empty());
    assert_eq!(std::fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
    granted(&a, &request("k")).await;
}

#[tokio::test]
async fn fault_56_when_a_renewal_fails_the_old_deadline_stands() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mine = request("k");
    let token = granted(&a, &mine).await.token();
    a.shared.host.hand.move_lease_clock(TTL / 2);
    a.shared.seam.fail_next_write(io::ErrorKind::StorageFull.into());
    let lease = Lease::new(mine.claim(), token, mine.ttl());
    assert_eq!(a.renew(&lease).await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
    let record = b.inspect(&key("k")).await.unwrap().unwrap();
    assert!(record.expires_in().unwrap() <= TTL);
    a.shared.host.hand.move_lease_clock(TTL / 2);
    assert_eq!(a.renew(&lease).await.unwrap(), Renewal::Lost);
}

#[tokio::test]
async fn fault_58_a_damaged_record_is_held_as_long_as_its_kernel_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mine = request("k");
    let last = granted(&a, &mine).await.token();
    for (damage, at) in [(&b"released"[..], 11), (&b"\0\0\0\0"[..], 0)] {
        current_file(&a, "k").write_all_at(damage, at).unwrap();
        b.shared.host.hand.move_lease_clock(2 * TTL);
        assert_eq!(held(&b, &request("k")).await.owner(), None);
    }
    drop(a);
    b.shared.host.hand.set_wall_clock_back(std::time::Duration::from_secs(3600));
    let next = granted(&b, &request("k")).await;
    assert_eq!(next.takeover(), Takeover::Crashed);
    assert!(next.token() > last, "what can be read of the last token still counts");
}

#[tokio::test]
async fn fault_58_an_empty_record_is_held_as_long_as_its_kernel_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    granted(&a, &request("k")).await;
    current_file(&a, "k").set_len(0).unwrap();
    held(&b, &request("k")).await;
    drop(a);
    granted(&b, &request("k")).await;
}

#[tokio::test]
async fn a_damaged_record_cannot_push_tokens_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    granted(&a, &request("k")).await;
    let body = std::fs::read_to_string(dir.path().join("k").join(format!("{:020}", 1))).unwrap();
    let (_, json) = body.split_once('\n').unwrap();
    let token = json.split_once("\"token\":").unwrap().1.split(',').next().unwrap();
    let forged = format!("damaged\n{}", json.replace(token, &(u64::MAX - 1).to_string()));
    current_file(&a, "k").write_all_at(forged.as_bytes(), 0).unwrap();
    drop(a);
    assert!(granted(&b, &request("k")).await.token() < FencingToken::new(u64::MAX / 2));
}

#[tokio::test]
async fn fault_59_a_holder_whose_directory_is_deleted_is_lost_and_the_next_one_is_safe() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (mine, next) = (request("k"), request("k"));
    let token = granted(&a, &mine).await.token();
    std::fs::remove_dir_all(dir.path().join("k")).unwrap();
    let second = granted(&b, &next).await.token();
    // The same number, another file.
    assert_eq!(generations(&b, "k"), [1]);
    assert_eq!(renewal(&a, &mine, token).await, Renewal::Lost);
    assert_eq!(renewal(&b, &next, second).await, Renewal::Renewed(next.ttl()));
}

#[tokio::test]
async fn fault_59_a_release_in_a_recreated_directory_leaves_the_successor_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (mine, next) = (request("k"), request("k"));
    granted(&a, &mine).await;
    std::fs::remove_dir_all(dir.path()).unwrap();
    let token = granted(&b, &next).await.token();
    assert_eq!(release(&a, &mine).await, Release::NotHeld);
    assert_eq!(renewal(&b, &next, token).await, Renewal::Renewed(next.ttl()));
}

#[tokio::test]
async fn fault_59_a_released_record_is_not_taken_forward_in_a_recreated_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (mine, next) = (request("k"), request("k"));
    granted(&a, &mine).await;
    release(&a, &mine).await;
    std::fs::remove_dir_all(dir.path().join("k")).unwrap();
    let token = granted(&b, &next).await.token();
    // Not even for a moment, after which it is put back.
    a.shared.seam.once_at(Point::BeforePublish, || panic!("it is not ours to move"));
    assert_eq!(held(&a, &request("k")).await.owner(), Some(next.owner()));
    assert_eq!(renewal(&b, &next, token).await, Renewal::Renewed(next.ttl()));
}

#[tokio::test]
async fn fault_60_a_link_in_a_records_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    std::fs::create_dir(dir.path().join("k")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", Slot::of(dir.path(), &key("k")).generation(7)).unwrap();
    assert_eq!(a.try_acquire(&request("k")).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn abandoned_temporaries_are_swept_and_fresh_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let (kept, _locked) = a.shared.temporary(None).map(|(file, path)| (path, file)).unwrap();
    let (file, fresh) = a.shared.temporary(None).unwrap();
    drop(file);
    let old = dir.path().join(".tmp").join(format!("{:020}.1.1", 1));
    std::fs::write(&old, b"").unwrap();
    let locked_old = dir.path().join(".tmp").join(format!("{:020}.1.2", 1));
    std::fs::rename(&kept, &locked_old).unwrap();
    open(dir.path());
    assert!(!old.exists() && fresh.exists() && locked_old.exists());
}

#[tokio::test]
async fn fault_55_what_is_let_go_is_free_even_if_a_child_keeps_the_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mine = request("k");
    granted(&a, &mine).await;
    // The same opening of the file, as a forked child has it.
    let in_the_child = a.shared.owners.with(&mine.claim(), |mine| match mine {
        crate::owners::Mine::Held(held) => held.file.file().try_clone().unwrap(),
        other => panic!("{other:?}"),
    });
    drop(a);
    assert_eq!(granted(&b, &request("k")).await.takeover(), Takeover::Crashed);
    drop(in_the_child);
}

#[tokio::test]
async fn probes_do_not_hide_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    granted(&a, &request("k")).await;
    drop(a);
    // Another process is stopped in the middle of its probe.
    let probe = current_file(&b, "k");
    probe.try_lock_shared().unwrap();
    assert_eq!(granted(&b, &request("k")).await.takeover(), Takeover::Crashed);
}

/// As if this process were a forked child of the one that `claim`'s files belong to. What the parent
/// keeps is the same opening of the file.
fn fork(backend: &crate::FileBackend, claim: &lock_core::Claim) -> std::fs::File {
    use crate::owners::Mine;
    backend.shared.owners.with(claim, |mine| {
        let file = match mine {
            Mine::Held(held) => &mut held.file,
            Mine::Waiting(ticket) => &mut ticket.file,
            other => panic!("{other:?}"),
        };
        file.fork_for_test();
        file.file().try_clone().unwrap()
    })
}

#[tokio::test]
async fn fault_55_a_forked_child_that_ends_leaves_its_parents_lock_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let mine = request("k");
    granted(&a, &mine).await;
    let parents = fork(&a, &mine.claim());
    drop(a);
    assert_eq!(held(&b, &request("k")).await.owner(), Some(mine.owner()));
    drop(parents);
    granted(&b, &request("k")).await;
}

#[tokio::test]
async fn fault_55_a_forked_child_neither_renews_nor_releases_its_parents_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    for renews in [true, false] {
        let mine = request(if renews { "renewed" } else { "released" });
        let token = granted(&a, &mine).await.token();
        let _parents = fork(&a, &mine.claim());
        if renews {
            assert_eq!(renewal(&a, &mine, token).await, Renewal::Lost);
        } else {
            assert_eq!(release(&a, &mine).await, Release::NotHeld);
        }
        assert_eq!(held(&b, &mine).await.owner(), Some(mine.owner()), "the parent holds it still");
    }
}

#[tokio::test]
async fn fault_55_a_forked_child_does_not_use_its_parents_place_in_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (holder, waiter) = (request("k"), request("k"));
    granted(&a, &holder).await;
    super::queue::queue(&b, &waiter).await;
    let _parents = fork(&b, &waiter.claim());
    let tickets = || std::fs::read_dir(dir.path().join("k/queue")).unwrap().count();
    assert_eq!((release(&b, &waiter).await, tickets()), (Release::NotHeld, 1));
    a.shared.host.hand.move_lease_clock(TTL);
    release(&a, &holder).await;
    b.shared.host.hand.move_lease_clock(2 * TTL);
    granted(&b, &waiter).await;
    assert_eq!(tickets(), 1, "a file of its own");
}

//! One process is stopped between two of its steps, and others go on meanwhile.

use lock_core::{AcquireRequest, LockAdmin, Renewal, Takeover};

use super::{TTL, generations, granted, held, key, open, release, renewal, request, run};
use crate::FileBackend;
use crate::seam::Point;
use crate::slot::Slot;

/// Takes and releases `times` times, by new files each time, as many processes would.
async fn hand_over(directory: &std::path::Path, text: &str, times: u32) {
    for _ in 0..times {
        let (process, request) = (open(directory), request(text));
        granted(&process, &request).await;
        release(&process, &request).await;
    }
}

async fn still_holds(backend: &FileBackend, request: &AcquireRequest) -> bool {
    let record = backend.inspect(request.key()).await.unwrap();
    record.and_then(|record| record.owner()) == Some(request.owner())
}

#[tokio::test]
async fn a_late_publisher_of_a_swept_number_leaves_it_to_be_swept() {
    let dir = tempfile::tempdir().unwrap();
    let (late, holder) = (open(dir.path()), open(dir.path()));
    hand_over(dir.path(), "k", 3).await;
    let (mine, theirs) = (request("k"), request("k"));
    let (path, holder2, theirs2) = (dir.path().to_owned(), holder.clone(), theirs.clone());
    late.shared.seam.once_at(Point::BeforePublish, move || {
        run(hand_over(&path, "k", 3));
        run(granted(&holder2, &theirs2));
    });
    assert_eq!(held(&late, &mine).await.owner(), Some(theirs.owner()));
    assert!(still_holds(&late, &theirs).await);
    let highest = *generations(&late, "k").last().unwrap();
    release(&holder, &theirs).await;
    granted(&late, &request("k")).await;
    assert_eq!(generations(&late, "k"), [highest + 1], "what it left is swept");
}

#[tokio::test]
async fn a_late_publisher_of_the_first_number_leaves_it_to_be_swept() {
    let dir = tempfile::tempdir().unwrap();
    let (late, holder) = (open(dir.path()), open(dir.path()));
    std::fs::create_dir(dir.path().join("k")).unwrap();
    let (mine, theirs) = (request("k"), request("k"));
    let (path, holder2, theirs2) = (dir.path().to_owned(), holder.clone(), theirs.clone());
    late.shared.seam.once_at(Point::BeforePublish, move || {
        run(hand_over(&path, "k", 2));
        run(granted(&holder2, &theirs2));
    });
    assert_eq!(held(&late, &mine).await.owner(), Some(theirs.owner()));
    assert_eq!(generations(&late, "k"), [1, 3]);
    release(&holder, &theirs).await;
    granted(&late, &request("k")).await;
    assert_eq!(generations(&late, "k"), [4], "what it left is swept");
}

#[tokio::test]
async fn the_highest_generation_stays_when_a_slow_first_publisher_finds_itself_succeeded() {
    let dir = tempfile::tempdir().unwrap();
    let (first, next) = (open(dir.path()), open(dir.path()));
    std::fs::create_dir(dir.path().join("k")).unwrap();
    let (published, is_published) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    first.shared.seam.once_at(Point::AfterPublish, move || {
        published.send(()).unwrap();
        may_go.recv().unwrap();
    });
    // It stops between its publication and its look until its lease is over.
    let slow = std::thread::spawn(move || run(held(&first, &request("k"))));
    is_published.recv().unwrap();
    next.shared.host.hand.move_lease_clock(TTL);
    next.shared.seam.once_at(Point::AfterPublish, move || {
        go.send(()).unwrap();
        slow.join().unwrap();
    });
    let theirs = request("k");
    assert_eq!(granted(&next, &theirs).await.takeover(), Takeover::Expired);
    assert_eq!(generations(&next, "k"), [2], "numbers go on");
}

#[tokio::test]
async fn a_late_publication_that_was_left_behind_is_not_mistaken_for_the_current_generation() {
    let dir = tempfile::tempdir().unwrap();
    let (busy, other) = (open(dir.path()), open(dir.path()));
    let slot = Slot::of(dir.path(), &key("k"));
    for _ in 0..3 {
        let mine = request("k");
        granted(&busy, &mine).await;
        release(&busy, &mine).await;
    }
    // Somebody saw 1 as the highest, and opens it only now; by then it is one that was published too
    // late, by a process that died before its look.
    std::fs::write(slot.generation(1), "").unwrap();
    let left_behind = crate::os::open_record(&slot.generation(1)).unwrap();
    let seen = crate::look::Current { number: 1, older: Vec::new(), file: left_behind };
    let (_file, from) = other.shared.temporary(None).unwrap();
    let published = other.shared.publish(&slot, 2, &from, Some(&seen)).unwrap();
    assert_eq!(published, crate::acquire::Published::Late, "3 is the current one");
}

#[tokio::test]
async fn a_late_publisher_does_not_mistake_a_record_taken_forward_for_the_one_it_saw() {
    let dir = tempfile::tempdir().unwrap();
    let (late, busy) = (open(dir.path()), open(dir.path()));
    let (first, theirs, mine) = (request("k"), request("k"), request("k"));
    granted(&busy, &first).await;
    release(&busy, &first).await;
    let (busy2, theirs2) = (busy.clone(), theirs.clone());
    late.shared.seam.once_at(Point::BeforePublish, move || {
        for _ in 0..3 {
            let more = request("k");
            run(granted(&busy2, &more));
            run(release(&busy2, &more));
        }
        run(granted(&busy2, &theirs2));
    });
    assert_eq!(held(&late, &mine).await.owner(), Some(theirs.owner()));
    assert_eq!(generations(&late, "k"), [2, 5], "the same file all the time, and what was late");
}

#[tokio::test]
async fn of_two_who_publish_the_same_number_one_looks_again() {
    let dir = tempfile::tempdir().unwrap();
    let (slow, fast) = (open(dir.path()), open(dir.path()));
    hand_over(dir.path(), "k", 1).await;
    let (mine, theirs) = (request("k"), request("k"));
    let (fast2, theirs2) = (fast.clone(), theirs.clone());
    slow.shared.seam.once_at(Point::BeforePublish, move || {
        run(granted(&fast2, &theirs2));
    });
    assert_eq!(held(&slow, &mine).await.owner(), Some(theirs.owner()));
    assert_eq!(std::fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_record_that_others_succeeded_is_not_taken_forward() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (first, mine, theirs) = (request("k"), request("k"), request("k"));
    granted(&a, &first).await;
    release(&a, &first).await;
    let (b2, theirs2) = (b.clone(), theirs.clone());
    a.shared.seam.once_at(Point::BeforePublish, move || {
        // The record says by now that it is held, but it was not published as such: it expires.
        b2.shared.host.hand.move_lease_clock(TTL);
        assert_eq!(run(granted(&b2, &theirs2)).takeover(), Takeover::Expired);
    });
    let second = held(&a, &mine).await;
    assert_eq!(second.owner(), Some(theirs.owner()));
}

#[tokio::test]
async fn a_file_that_came_in_the_place_of_ours_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(dir.path()), open(dir.path()));
    let (first, mine, theirs) = (request("k"), request("k"), request("k"));
    granted(&a, &first).await;
    release(&a, &first).await;
    let (b2, theirs2, path) = (b.clone(), theirs.clone(), dir.path().join("k"));
    a.shared.seam.once_at(Point::BeforePublish, move || {
        std::fs::remove_dir_all(&path).unwrap();
        run(granted(&b2, &theirs2));
    });
    assert_eq!(held(&a, &mine).await.owner(), Some(theirs.owner()));
    let token = b.inspect(&key("k")).await.unwrap().unwrap().token().unwrap();
    assert_eq!(renewal(&b, &theirs, token).await, Renewal::Renewed(theirs.ttl()));
}

#[tokio::test]
async fn a_holder_stopped_between_publishing_and_looking_loses_to_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let (late, next) = (open(dir.path()), open(dir.path()));
    hand_over(dir.path(), "k", 2).await;
    let (mine, theirs) = (request("k"), request("k"));
    let (next2, theirs2) = (next.clone(), theirs.clone());
    late.shared.seam.once_at(Point::AfterPublish, move || {
        next2.shared.host.hand.move_lease_clock(TTL);
        run(granted(&next2, &theirs2));
    });
    let _ = lock_core::LockBackend::try_acquire(&*late, &mine).await.unwrap();
    assert!(still_holds(&next, &theirs).await);
}

#[tokio::test]
async fn generations_are_swept_in_ascending_order_and_not_beyond_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let slot = Slot::of(dir.path(), &key("k"));
    std::fs::create_dir(slot.directory()).unwrap();
    // A directory can't be removed as a file, by no user.
    std::fs::create_dir(slot.generation(1)).unwrap();
    std::fs::write(slot.generation(2), b"").unwrap();
    assert!(slot.sweep(&[1, 2]).is_err());
    assert!(slot.generation(2).exists());
}

#[tokio::test]
async fn where_older_generations_could_not_be_swept_no_record_is_taken_forward() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let slot = Slot::of(dir.path(), &key("k"));
    hand_over(dir.path(), "k", 2).await;
    std::fs::create_dir(slot.generation(1)).unwrap();
    for _ in 0..2 {
        let mine = request("k");
        granted(&a, &mine).await;
        release(&a, &mine).await;
    }
    // Numbers 2 and 3 stay, since 1 does: without a gap.
    assert_eq!(generations(&a, "k"), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_forked_child_does_not_take_its_parents_record_forward() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let (first, mine) = (request("k"), request("k"));
    granted(&a, &first).await;
    release(&a, &first).await;
    let before = super::current_file(&a, "k");
    a.shared.released.fork_for_test();
    granted(&a, &mine).await;
    let slot = Slot::of(dir.path(), &key("k"));
    assert!(!crate::os::is_at(&before, &slot.generation(2)).unwrap(), "a file of its own");
}

#[tokio::test]
async fn a_process_takes_its_own_record_forward() {
    let dir = tempfile::tempdir().unwrap();
    let a = open(dir.path());
    let (first, mine) = (request("k"), request("k"));
    granted(&a, &first).await;
    release(&a, &first).await;
    let before = super::current_file(&a, "k");
    granted(&a, &mine).await;
    let slot = Slot::of(dir.path(), &key("k"));
    assert!(crate::os::is_at(&before, &slot.generation(2)).unwrap(), "the same file");
    assert!(still_holds(&open(dir.path()), &mine).await);
}

#[tokio::test]
async fn publishing_by_links_excludes_as_renaming_does() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, place) = (dir.path().join("1"), dir.path().join("2"), dir.path().join("place"));
    std::fs::write(&one, "1").unwrap();
    std::fs::write(&two, "2").unwrap();
    crate::os::publish_by_link(&one, &place).unwrap();
    let error = crate::os::publish_by_link(&two, &place).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!((std::fs::read_to_string(&place).unwrap().as_str(), one.exists(), two.exists()), ("1", false, true));
}

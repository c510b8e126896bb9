//! Holders that are killed, stopped, or leave a child behind.

use std::time::{Duration, Instant};

use lock_core::{LockAdmin, LockBackend, Release, Takeover};
use lock_file::FileBackend;
use rustix::process::Signal;

use super::child::Process;
use super::{acquire, is_held, request};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn fault_53_holder_killed_is_taken_over_within_a_probe() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FileBackend::open(dir.path()).unwrap();
    let mut holder = Process::start("hold", dir.path(), LONG);
    let token: u64 = holder.hear().parse().unwrap();
    assert!(is_held(&backend, &request(LONG)).await.is_some());
    holder.kill();
    let grant = acquire(&backend, &request(LONG)).await;
    assert_eq!(grant.takeover(), Takeover::Crashed);
    assert!(grant.token().get() > token);
}

#[tokio::test]
async fn fault_53_a_waiter_is_told_of_the_holders_death() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FileBackend::open(dir.path()).unwrap();
    let mut holder = Process::start("hold", dir.path(), LONG);
    holder.hear();
    let waiting = tokio::spawn(async move {
        let grant = acquire(&backend, &request(LONG)).await;
        (grant, Instant::now())
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let killed = Instant::now();
    holder.signal(Signal::KILL);
    let (grant, at) = waiting.await.unwrap();
    assert_eq!(grant.takeover(), Takeover::Crashed);
    // Where the watch doesn't tell, a probe every 25 ms does; the fallback alone would take 500.
    assert!(at - killed < Duration::from_millis(300), "{:?}", at - killed);
}

#[tokio::test]
async fn fault_54_holder_stopped_is_taken_over_after_the_ttl_and_finds_itself_lost() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FileBackend::open(dir.path()).unwrap();
    let ttl = Duration::from_millis(400);
    let begun = Instant::now();
    let mut holder = Process::start("hold", dir.path(), ttl);
    let token: u64 = holder.hear().parse().unwrap();
    holder.stop();
    let mine = request(LONG);
    let grant = acquire(&backend, &mine).await;
    assert!(begun.elapsed() >= ttl);
    assert_eq!(grant.takeover(), Takeover::Expired);
    assert!(grant.token().get() > token);
    holder.signal(Signal::CONT);
    holder.say("renew");
    assert_eq!(holder.hear(), "lost");
    // The old holder's end closes its file, and that touches nobody else.
    holder.say("end");
    holder.kill();
    assert!(is_held(&backend, &request(LONG)).await.is_some());
    assert_eq!(backend.release(&mine.claim()).await.unwrap(), Release::Released);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn fault_55_a_child_that_keeps_the_descriptor_holds_the_lock_to_the_ttl_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FileBackend::open(dir.path()).unwrap();
    let mut holder = Process::start("hold-and-fork", dir.path(), Duration::from_millis(700));
    let heir: i32 = holder.hear().parse().unwrap();
    holder.kill();
    assert!(is_held(&backend, &request(LONG)).await.is_some(), "the kernel lock lives on in the child");
    let grant = acquire(&backend, &request(LONG)).await;
    rustix::process::kill_process(rustix::process::Pid::from_raw(heir).unwrap(), Signal::KILL).unwrap();
    assert_eq!(grant.takeover(), Takeover::Expired);
}

#[tokio::test]
async fn a_stopped_waiter_holds_nobody_up_for_longer_than_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FileBackend::open(dir.path()).unwrap();
    let mine = request(LONG);
    acquire(&backend, &mine).await;
    let mut first = Process::start("wait", dir.path(), LONG);
    assert_eq!(first.hear(), "waiting");
    let queue = dir.path().join("k/queue");
    while !std::fs::read_dir(&queue).is_ok_and(|mut entries| entries.next().is_some()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.stop();
    let begun = Instant::now();
    for _ in 0..10 {
        let next = request(LONG);
        backend.release(&mine.claim()).await.unwrap();
        acquire(&backend, &next).await;
        backend.release(&next.claim()).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    first.signal(Signal::CONT);
    assert!(first.hear().ends_with("None"), "it is served as soon as it runs");
}

#[tokio::test]
async fn a_lock_taken_away_is_lost_to_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let backend = FileBackend::open(dir.path()).unwrap();
    let mut holder = Process::start("hold", dir.path(), LONG);
    let token: u64 = holder.hear().parse().unwrap();
    holder.say("renew");
    assert_eq!(holder.hear(), "renewed");
    backend.break_lock(request(LONG).key(), Some(lock_core::FencingToken::new(token))).await.unwrap();
    holder.say("renew");
    assert_eq!(holder.hear(), "lost");
}

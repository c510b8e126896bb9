//! What a lock costs that is held and renewed: tasks, descriptors, wake-ups.

use std::time::Duration;

use distlock::{MemoryBackend, Supervisor};
use tempfile::tempdir;

const LOCKS: usize = 1_000;
const TTL: Duration = Duration::from_secs(3);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// How often this thread has gone to sleep.
fn wake_ups() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("the count");
    line.trim().parse().expect("a number")
}

/// Guards the one heartbeat task, and the grid of its timers: 1,000 locks that are renewed each second would be as
/// many tasks, and as many wake-ups, if each had its own.
#[test]
fn locks_share_a_task_and_its_wake_ups() {
    let runtime = runtime();
    runtime.block_on(async {
        let locks = Supervisor::new(MemoryBackend::new());
        let mut guards = Vec::new();
        for number in 0..LOCKS {
            guards.push(locks.lock(format!("key/{number}")).ttl(TTL).acquire().await.expect("it is free"));
        }
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert!(tasks <= 2, "{tasks} tasks for {LOCKS} locks");
        // The first round of renewals brings the steady state.
        tokio::time::sleep(TTL / 3).await;
        let before = wake_ups();
        tokio::time::sleep(Duration::from_secs(3)).await;
        // A busy machine makes fewer: the timers that are late fire together.
        let per_second = (wake_ups() - before) / 3;
        println!("{tasks} tasks, {per_second} wake-ups a second");
        assert!(per_second <= 350, "{per_second} wake-ups a second for {LOCKS} locks");
        assert!(guards.iter().all(distlock::LockGuard::is_held));
    });
}

/// Guards the file backend: a lock that is held is one open file.
#[test]
fn a_file_lock_is_one_open_file() {
    let (runtime, directory) = (runtime(), tempdir().expect("a directory"));
    // Other tests of this program have files of their own.
    let open = || {
        let all =
            std::fs::read_dir("/proc/self/fd").expect("/proc").filter_map(|entry| entry.ok()?.path().read_link().ok());
        all.filter(|path| path.starts_with(directory.path())).count()
    };
    runtime.block_on(async {
        let url = format!("file://{}", directory.path().join("locks").display());
        let locks = distlock::connect(&url).await.expect("it opens");
        let mut guards = Vec::new();
        for number in 0..100 {
            guards.push(locks.lock(format!("key/{number}")).acquire().await.expect("it is free"));
        }
        assert_eq!(open(), guards.len());
    });
}

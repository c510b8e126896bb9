//! Allocations for each acquire + release, on a runtime of one thread, so that the supervisor's own task is counted.

use distlock::{MemoryBackend, Supervisor};
use tempfile::tempdir;

const PAIRS: u64 = 100;

/// How many allocations, and how many bytes, a pair takes.
fn per_pair(locks: &Supervisor, runtime: &tokio::runtime::Runtime) -> (u64, u64) {
    let pairs = |count| {
        runtime.block_on(async {
            for _ in 0..count {
                locks.lock("key").acquire().await.expect("it is free").release().await.expect("it is ours");
            }
        });
    };
    // The first pairs fill what is kept.
    pairs(PAIRS);
    let counted = allocation_counter::measure(|| pairs(PAIRS));
    assert_eq!(counted.count_current, 0, "something is kept of each lock");
    (counted.count_total / PAIRS, counted.bytes_total / PAIRS)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Guards the way of an acquire call through the supervisor: key, owner, context, the task that calls the store.
#[test]
fn the_supervisor_alone() {
    let runtime = runtime();
    let locks = Supervisor::new(MemoryBackend::new());
    let (count, bytes) = per_pair(&locks, &runtime);
    println!("{count} allocations, {bytes} bytes");
    assert!(count <= 6, "{count} allocations a pair");
    assert!(bytes <= 700, "{bytes} bytes a pair");
}

/// Guards the file backend's fast way: paths, the record, and no list of the directory.
#[test]
fn the_file_backend() {
    let (runtime, directory) = (runtime(), tempdir().expect("a directory"));
    let url = format!("file://{}", directory.path().join("locks").display());
    let locks = runtime.block_on(distlock::connect(&url)).expect("it opens");
    let (count, bytes) = per_pair(&locks, &runtime);
    println!("{count} allocations, {bytes} bytes");
    assert!(count <= 42, "{count} allocations a pair");
    assert!(bytes <= 2_300, "{bytes} bytes a pair");
}

//! What operators see: every metric that docs/operations.md names, after a life of locks.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use lock_core::{LockAdmin, Operation};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use support::{Fault, Faulty, TTL};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn every_metric_is_told() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let store = Faulty::new(|call, before| match (call.operation, before) {
        (Operation::Acquire, 0) | (Operation::Renew, 1) => Fault::Refuse,
        _ => Fault::None,
    });
    // Handles are made with the supervisor; a loss's counter is looked up when there is one, so the
    // guard of the local recorder stays for the whole test.
    let _local = metrics::set_default_local_recorder(&recorder);
    let locks = store.supervisor().build();

    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    locks.lock("k").try_acquire().await.unwrap_err();
    sleep(TTL).await;
    store.store.break_lock(guard.key(), None).await.unwrap();
    guard.lost().await;
    drop(guard);
    sleep(Duration::from_millis(1)).await;
    // Taken away, and found so at the release only.
    let guard = locks.lock("k").ttl(TTL).acquire().await.unwrap();
    store.store.break_lock(guard.key(), None).await.unwrap();
    guard.release().await.unwrap_err();
    store.set_rule(|call, _| if call.operation == Operation::Release { Fault::Deny } else { Fault::None });
    locks.lock("k").acquire().await.unwrap().release().await.unwrap_err();
    sleep(TTL * 2).await;
    store.set_rule(|_, _| Fault::None);
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
    store.set_token(1);
    locks.lock("k").acquire().await.unwrap_err();
    store.set_rule(|_, _| Fault::Deny);
    locks.lock("k2").acquire().await.unwrap_err();
    sleep(Duration::from_secs(1)).await;

    let seen: BTreeMap<String, u64> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let count = match value {
                DebugValue::Counter(count) => count,
                DebugValue::Histogram(samples) => samples.len() as u64,
                DebugValue::Gauge(_) => 0,
            };
            (format!("{} {}", key.key().name(), labels.join(" ")), count)
        })
        .collect();
    for (name, at_least) in [
        ("distlock_acquires_total backend=memory outcome=granted", 3),
        ("distlock_acquires_total backend=memory outcome=held", 1),
        ("distlock_acquires_total backend=memory outcome=failed", 2),
        ("distlock_acquire_seconds backend=memory", 2),
        ("distlock_wait_seconds backend=memory", 2),
        ("distlock_held_seconds backend=memory", 2),
        ("distlock_renewals_total backend=memory", 2),
        ("distlock_renewal_failures_total backend=memory", 1),
        ("distlock_renewal_slack_seconds backend=memory", 2),
        ("distlock_retries_total backend=memory", 1),
        ("distlock_losses_total backend=memory reason=taken-away", 2),
        ("distlock_fencing_regressions_total backend=memory", 1),
        ("distlock_release_failures_total backend=memory", 1),
        ("distlock_takeovers_total backend=memory holder=crashed", 0),
        ("distlock_takeovers_total backend=memory holder=expired", 1),
    ] {
        let count = seen.get(name);
        assert!(count.is_some_and(|count| *count >= at_least), "{name}: {count:?}, of {seen:#?}");
    }
}

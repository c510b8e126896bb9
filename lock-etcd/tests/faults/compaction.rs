//! Watches whose past is compacted.

use std::time::Duration;

use lock_core::Supervisor;
use lock_etcd::EtcdBackend;
use testbed::etcd::EtcdOptions;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{Bed, seconds, until};

#[tokio::test]
async fn fault_39_watches_that_are_cut_begin_after_a_compaction() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (locks, others) = (bed.locks(), lock_core::Supervisor::new(bed.behind(&proxy)));
    let guard = locks.lock("compacted").ttl(seconds(60)).acquire().await.unwrap();
    let waiting = tokio::spawn(async move { others.lock("compacted").ttl(seconds(60)).acquire().await });
    until("it waits", async || bed.queue("compacted").len() == 2).await;
    let put = bed.ctl().run(&["put", &format!("{}other", bed.prefix), "x", "-w", "fields"]).unwrap();
    let revision = put.lines().find_map(|line| line.strip_prefix("\"Revision\" : ")).unwrap().to_owned();
    bed.ctl().run(&["compact", &revision]).unwrap();
    // All that was watched is watched anew, after the past is gone.
    proxy.reset();
    sleep(Duration::from_millis(300)).await;
    guard.release().await.unwrap();
    let next = timeout(seconds(5), waiting).await.expect("served").unwrap().unwrap();
    assert!(next.is_held());
}

/// A member that lags behind what the leader's log still has gets a snapshot. All of its watches are then behind, and those
/// whose past is compacted are told so, over a connection that stands. They are asked for anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_39_watch_that_is_compacted_is_asked_for_anew() {
    // The leader keeps 5,000 entries for those who lag.
    const ENTRIES: u32 = 5_600;
    let mut cluster = EtcdOptions::default().with_members(3).with_arguments(["--snapshot-count=100"]).start().unwrap();
    let leader = cluster.leader().expect("a leader");
    let (follower, endpoints) = ((leader + 1) % 3, cluster.endpoints());
    let locks = Supervisor::new(EtcdBackend::new([endpoints[follower].clone()]).unwrap());
    let guard = locks.lock("compacted").ttl(seconds(60)).acquire().await.unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(guard.is_held());

    let client = etcd_client::Client::connect([endpoints[leader].clone()], None).await.unwrap();
    cluster.process(follower).stop().unwrap();
    let mut writers = JoinSet::new();
    for n in 0..64 {
        let mut kv = client.kv_client();
        writers.spawn(async move {
            for _ in 0..ENTRIES.div_ceil(64) {
                kv.put(format!("other/{n}"), "x", None).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let mut kv = client.kv_client();
    let last = kv.put("other", "x", None).await.unwrap().header().unwrap().revision();
    kv.compact(last, None).await.unwrap();
    cluster.process(follower).go_on().unwrap();

    let snapshots = || cluster.metric(follower, "etcd_network_snapshot_receive_success", "").unwrap();
    until("it gets a snapshot", async || snapshots() > 0.0).await;
    sleep(seconds(1)).await;
    assert!(guard.is_held());
    kv.delete("compacted/", Some(etcd_client::DeleteOptions::new().with_prefix())).await.unwrap();
    timeout(seconds(8), guard.lost()).await.expect("told long before the next renewal");
}

//! Three members: endpoints that are dead, and leaders that are killed and stopped under load.

use std::time::{Duration, Instant};

use lock_core::{AcquireRequest, Attempt, LockAdmin, LockBackend, LockState, Severity, Supervisor};
use lock_etcd::EtcdBackend;
use testbed::etcd::{Etcd, EtcdOptions};
use tokio::time::{sleep, timeout};

use crate::load::Load;
use crate::support::{granted, request, seconds};

fn three() -> Etcd {
    EtcdOptions::default().with_members(3).start().unwrap()
}

/// Blocking calls of the testbed must not stop the clients.
async fn aside<T: Send + 'static>(cluster: Etcd, work: impl FnOnce(&mut Etcd) -> T + Send + 'static) -> (Etcd, T) {
    let mut cluster = cluster;
    tokio::task::spawn_blocking(move || {
        let done = work(&mut cluster);
        (cluster, done)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_endpoints_are_passed_over() {
    let mut cluster = three();
    cluster.process(0).kill().unwrap();
    let client = EtcdBackend::new(cluster.endpoints()).unwrap();
    for n in 0..10 {
        let request = request(&format!("passed over {n}"), 60);
        granted_in_time(&client, &request).await;
        client.release(&request.claim()).await.unwrap();
    }
    // One that takes connections and answers nothing is passed over, too.
    cluster.restart(0).unwrap();
    let client = EtcdBackend::new(cluster.endpoints()).unwrap();
    granted(&client, &request("warm", 60)).await;
    cluster.process(0).stop().unwrap();
    granted_in_time(&client, &request("after", 60)).await;
    let findings = client.preflight().await;
    assert!(findings.iter().any(|finding| finding.check() == "endpoint"), "{findings:?}");
    assert!(findings.iter().all(|finding| finding.severity() < Severity::Unusable), "{findings:?}");
    cluster.process(0).go_on().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_40_holder_keeps_its_lock_when_the_leader_is_killed() {
    let cluster = three();
    let locks = Supervisor::new(EtcdBackend::new(cluster.endpoints()).unwrap());
    let guard = locks.lock("kept").ttl(seconds(15)).acquire().await.unwrap();
    let (cluster, _) = aside(cluster, |cluster| {
        let leader = cluster.leader().expect("a leader");
        cluster.process(leader).kill().unwrap();
    })
    .await;
    sleep(seconds(10)).await;
    assert_eq!(guard.state(), LockState::Held);
    let other = EtcdBackend::new(cluster.endpoints()).unwrap();
    let record = other.inspect(guard.key()).await.unwrap().expect("still held");
    assert_eq!(record.token(), Some(guard.fencing_token()));
    guard.release().await.unwrap();
}

/// Asks as the supervisor does: again, while that can help. An election takes a second or two.
async fn granted_in_time(client: &EtcdBackend, request: &AcquireRequest) {
    let began = Instant::now();
    loop {
        match client.try_acquire(request).await {
            Ok(Attempt::Granted(_)) => return,
            Ok(Attempt::Held(by)) => panic!("held by {}", by.record()),
            Err(error) => assert!(error.is_transient() && began.elapsed() < seconds(15), "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Ten times, in turn: the leader is killed and started again, or stopped for longer than an election takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_40_leader_killed_and_stopped_ten_times_under_load_and_never_two_holders() {
    let mut cluster = three();
    let load = Load::start(&cluster.endpoints(), 6);
    sleep(seconds(1)).await;
    for round in 0..10 {
        let before = load.grants();
        let (again, ()) = aside(cluster, move |cluster| {
            let end = Instant::now() + seconds(20);
            let leader = loop {
                match cluster.leader() {
                    Some(leader) => break leader,
                    None => assert!(Instant::now() < end, "no leader within 20 s"),
                }
            };
            if round % 2 == 0 {
                cluster.process(leader).kill().unwrap();
                std::thread::sleep(Duration::from_millis(2_500));
                cluster.restart(leader).unwrap();
            } else {
                cluster.process(leader).stop().unwrap();
                std::thread::sleep(Duration::from_millis(3_500));
                cluster.process(leader).go_on().unwrap();
            }
        })
        .await;
        cluster = again;
        let served = timeout(seconds(20), async {
            while load.grants() < before + 10 {
                sleep(Duration::from_millis(50)).await;
            }
        });
        served.await.unwrap_or_else(|_| panic!("round {round}: waiters aren't served any more"));
    }
    let history = load.stop().await;
    history.check();
    println!("{} grants, {} losses, {} errors", history.grants(), history.losses(), history.errors());
}

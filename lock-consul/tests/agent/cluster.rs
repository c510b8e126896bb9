//! Three servers, and an agent in client mode before them, as on every host.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lock_consul::ConsulBackend;
use lock_core::{AcquireError, ErrorKind, FencingToken, LockState, Supervisor};
use testbed::consul::Cluster;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::slow;

/// One time that a lock was held, as its holder believed.
#[derive(Debug, Clone, Copy)]
struct Hold {
    token: FencingToken,
    asked: Instant,
    from: Instant,
    until: Instant,
}

const TASKS: u64 = 4;
const KILLS: usize = 10;

fn locks(cluster: &Cluster) -> Supervisor {
    let backend = ConsulBackend::builder(cluster.client().address()).lock_delay(Duration::from_millis(500));
    Supervisor::builder(Arc::new(backend.build().unwrap())).patience(Duration::from_secs(60)).build()
}

#[test]
fn fault_47_the_leader_is_killed_ten_times_under_load() {
    slow::end_of("killed leaders");
}

pub(crate) async fn killed_leaders() {
    let mut cluster = Cluster::start().unwrap();
    let (stop, stopped) = watch::channel(false);
    let history = Arc::new(Mutex::new(Vec::new()));
    let keeper = locks(&cluster);
    let kept = keeper.lock("kept").ttl(Duration::from_secs(30)).acquire().await.unwrap();
    let contenders: Vec<_> =
        (0..TASKS).map(|task| tokio::spawn(contend(locks(&cluster), task, history.clone(), stopped.clone()))).collect();
    let mut served = Vec::new();
    for kill in 0..KILLS {
        sleep(Duration::from_secs(2)).await;
        let before = history.lock().unwrap().len();
        let leader = tokio::task::block_in_place(|| cluster.kill_leader()).unwrap();
        let killed = Instant::now();
        // Served again while that server is down.
        while history.lock().unwrap().len() < before + 3 {
            assert!(killed.elapsed() < Duration::from_secs(60), "nobody is served after kill {kill}");
            sleep(Duration::from_millis(50)).await;
        }
        served.push(killed.elapsed());
        cluster.start_again(leader).unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    stop.send(true).unwrap();
    for contender in contenders {
        contender.await.unwrap();
    }
    let history = history.lock().unwrap().clone();
    println!("{} holds; served again after {served:?}", history.len());
    check(history);
    // Held through all elections, longer than its TTL: a renewal that fails is tried again.
    assert_eq!(kept.state(), LockState::Held);
    kept.release().await.unwrap();
}

async fn contend(locks: Supervisor, task: u64, history: Arc<Mutex<Vec<Hold>>>, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let asked = Instant::now();
        let guard = match locks.lock("contended").ttl(Duration::from_secs(10)).acquire().await {
            Ok(guard) => guard,
            // An outcome that nobody knows: undone in the background.
            Err(AcquireError::Ambiguous(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        let from = Instant::now();
        let held_for = Duration::from_millis(5 + 7 * task);
        let until = tokio::select! {
            _ = guard.lost() => Instant::now(),
            () = sleep(held_for) => Instant::now(),
        };
        history.lock().unwrap().push(Hold { token: guard.fencing_token(), asked, from, until });
        // A release that is lost or comes too late is no fault: the next token is greater.
        drop(guard.release().await);
    }
}

fn check(mut history: Vec<Hold>) {
    history.sort_by_key(|hold| hold.from);
    for pair in history.windows(2) {
        assert!(pair[0].until <= pair[1].from, "two holders at once: {pair:?}");
        assert!(pair[0].token < pair[1].token, "tokens: {pair:?}");
    }
    history.sort_by_key(|hold| hold.token);
    let mut granted = None;
    for hold in &history {
        // What was asked for after a grant has the greater token.
        assert!(granted.is_none_or(|before: Hold| before.token < hold.token || before.asked > hold.from));
        granted = Some(*hold);
    }
}

#[test]
fn fault_47_without_a_leader_calls_fail_in_time_and_a_holder_keeps_its_lock_till_there_is_one() {
    slow::end_of("no leader");
}

pub(crate) async fn no_leader() {
    let mut cluster = Cluster::start().unwrap();
    let supervisor = locks(&cluster);
    let guard = supervisor.lock("kept").ttl(Duration::from_secs(30)).acquire().await.unwrap();
    let other = Supervisor::builder(Arc::new(ConsulBackend::new(cluster.client().address()).unwrap()))
        .patience(Duration::from_secs(3))
        .build();
    let leader = tokio::task::block_in_place(|| cluster.kill_leader()).unwrap();
    let second = (leader + 1) % 3;
    cluster.servers()[second].process().kill().unwrap();
    let began = Instant::now();
    let error = other.lock("new").ttl(Duration::from_secs(10)).try_acquire().await.unwrap_err();
    let (AcquireError::Backend(failure) | AcquireError::Ambiguous(failure)) = &error else { panic!("{error:?}") };
    assert!(matches!(failure.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut), "{failure}");
    assert!(failure.is_transient() && began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    cluster.start_again(second).unwrap();
    sleep(Duration::from_secs(15)).await;
    assert_eq!(guard.state(), LockState::Held);
    guard.release().await.unwrap();
}

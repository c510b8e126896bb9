//! Leases that many locks share: what is promised of them all the same.

use std::time::Duration;

use lock_core::{BreakOutcome, Lease, LockAdmin, LockBackend, Release, Renewal, Supervisor};
use lock_etcd::EtcdBackend;
use testbed::etcd::EtcdOptions;
use tokio::time::{sleep, timeout};

use crate::support::{Bed, granted, is_held, request, seconds, until};

fn sharing(bed: &Bed) -> EtcdBackend {
    EtcdBackend::builder(bed.server.endpoints()).with_prefix(&bed.prefix).with_shared_leases().build().unwrap()
}

#[tokio::test]
async fn a_thousand_locks_hang_on_few_leases_and_stay_held() {
    let server = EtcdOptions::default().start().unwrap();
    let locks = Supervisor::new(EtcdBackend::builder(server.endpoints()).with_shared_leases().build().unwrap());
    let mut guards = Vec::new();
    for n in 0..1_001 {
        guards.push(locks.lock(format!("shared/{n}")).ttl(seconds(4)).acquire().await.unwrap());
    }
    let leases = server.ctl().unwrap().run(&["lease", "list"]).unwrap();
    assert!(leases.starts_with("found 3 leases"), "500 on each: {leases}");
    sleep(seconds(9)).await;
    assert!(guards.iter().all(lock_core::LockGuard::is_held));
    for guard in guards {
        guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn lock_that_is_not_renewed_is_deleted_though_others_keep_the_lease() {
    let bed = Bed::new();
    let client = sharing(&bed);
    let (kept, dead) = (request("kept", 3), request("dead", 3));
    let (grant, of_dead) = (granted(&client, &kept).await, granted(&client, &dead).await);
    let lease = Lease::new(kept.claim(), grant.token(), grant.ttl());
    for _ in 0..8 {
        sleep(Duration::from_millis(500)).await;
        assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
    }
    let other = bed.client();
    assert!(is_held(&other, "kept").await);
    assert!(!is_held(&other, "dead").await, "four seconds without a renewal");
    let lease = Lease::new(dead.claim(), of_dead.token(), of_dead.ttl());
    assert_eq!(client.renew(&lease).await.unwrap(), Renewal::Lost);
}

#[tokio::test]
async fn group_that_nobody_renews_ends_by_itself() {
    let bed = Bed::new();
    let client = sharing(&bed);
    granted(&client, &request("left", 2)).await;
    let other = bed.client();
    sleep(seconds(1)).await;
    assert!(is_held(&other, "left").await);
    until("the lease is over", async || !bed_is_held(&bed, "left")).await;
}

fn bed_is_held(bed: &Bed, name: &str) -> bool {
    !bed.queue(name).is_empty()
}

#[tokio::test]
async fn breaking_one_lock_spares_the_others_of_its_lease_and_is_told_at_once() {
    let bed = Bed::new();
    let locks = Supervisor::new(sharing(&bed));
    let one = locks.lock("one").ttl(seconds(60)).acquire().await.unwrap();
    let two = locks.lock("two").ttl(seconds(60)).acquire().await.unwrap();
    sleep(Duration::from_millis(400)).await;
    let broken = bed.client().break_lock(one.key(), Some(one.fencing_token())).await.unwrap();
    assert!(matches!(broken, BreakOutcome::Broken(_)), "{broken:?}");
    timeout(seconds(2), one.lost()).await.expect("told at once");
    sleep(Duration::from_millis(300)).await;
    assert!(two.is_held());
    two.release().await.unwrap();
}

#[tokio::test]
async fn lease_of_a_group_that_is_revoked_is_a_loss_for_all_of_it_and_the_next_lock_has_another() {
    let bed = Bed::new();
    let locks = Supervisor::new(sharing(&bed));
    let one = locks.lock("one").ttl(seconds(60)).acquire().await.unwrap();
    let two = locks.lock("two").ttl(seconds(60)).acquire().await.unwrap();
    sleep(Duration::from_millis(400)).await;
    let fields = bed.ctl().run(&["get", "--prefix", &format!("{}one/", bed.prefix), "-w", "fields"]).unwrap();
    let lease: i64 = fields.lines().find_map(|line| line.strip_prefix("\"Lease\" : ")).unwrap().parse().unwrap();
    bed.ctl().run(&["lease", "revoke", &format!("{lease:x}")]).unwrap();
    timeout(seconds(3), async { tokio::join!(one.lost(), two.lost()) }).await.expect("told at once");
    let again = locks.lock("one").ttl(seconds(60)).acquire().await.unwrap();
    assert!(again.is_held());
}

#[tokio::test]
async fn waiters_for_a_shared_lock_are_served_in_order() {
    let bed = Bed::new();
    let client = sharing(&bed);
    let held = request("wanted", 60);
    granted(&client, &held).await;
    let others = Supervisor::new(sharing(&bed));
    let waiting = tokio::spawn(async move { others.lock("wanted").ttl(seconds(60)).acquire().await });
    until("it waits", async || bed.queue("wanted").len() == 2).await;
    assert_eq!(client.release(&held.claim()).await.unwrap(), Release::Released);
    let guard = timeout(seconds(3), waiting).await.expect("served").unwrap().unwrap();
    guard.release().await.unwrap();
}

//! Leases that many locks share: what is promised of them all the same.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, BreakOutcome, Lease, LockAdmin, LockBackend, Release, Renewal, Supervisor};
use lock_etcd::EtcdBackend;
use testbed::etcd::EtcdOptions;
use tokio::time::{sleep, timeout};

use crate::support::{Bed, granted, is_held, request, seconds, until, waiter};

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

/// What became of its first request it doesn't know, and it lines up with a lease of its own: that one it keeps alive, while
/// it waits and while it holds the lock.
#[tokio::test]
async fn owner_of_a_lost_request_who_lines_up_keeps_its_own_lease() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let builder = EtcdBackend::builder([proxy.address().to_string()]).with_prefix(&bed.prefix).with_shared_leases();
    let (holder, client) = (bed.client(), Arc::new(builder.build().unwrap()));
    let (held, waits) = (request("lost", 60), request("lost", 2));
    granted(&holder, &held).await;
    // Another of its group: were the waiter in there still, it would be found overdue.
    let other = request("other", 2);
    let others = Lease::new(other.claim(), granted(&client, &other).await.token(), other.ttl());
    proxy.deliver_late_request_containing(waits.owner().to_string());
    client.try_acquire(&waits).await.unwrap_err();
    assert_eq!(proxy.counters().kept, 1);
    let waiting = waiter(&client, &waits);
    until("it waits", async || bed.queue("lost").len() == 2).await;
    let place = bed.queue("lost").swap_remove(1);
    for _ in 0..10 {
        sleep(Duration::from_millis(400)).await;
        assert!(matches!(client.renew(&others).await.unwrap(), Renewal::Renewed(_)));
    }
    assert_eq!(bed.queue("lost").get(1), Some(&place), "waiting for two TTL");
    holder.release(&held.claim()).await.unwrap();
    let grant = timeout(seconds(2), waiting).await.expect("served").unwrap().unwrap();
    let lease = Lease::new(waits.claim(), grant.token(), grant.ttl());
    for _ in 0..10 {
        sleep(Duration::from_millis(400)).await;
        assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
    }
    assert_eq!(bed.queue("lost").as_slice(), std::slice::from_ref(&place), "held for two TTL");
    assert_eq!(client.release(&waits.claim()).await.unwrap(), Release::Released);
    let revoked = bed.ctl().run(&["lease", "timetolive", place.rsplit('/').next().unwrap()]).unwrap();
    assert!(revoked.contains("already expired"), "{revoked}");
    proxy.deliver_late();
    assert!(bed.queue("lost").is_empty(), "{:?}", bed.queue("lost"));
}

/// Its place is there, with a lease of its own, though it wasn't told so: it isn't taken for somebody else's.
#[tokio::test]
async fn owner_of_a_lost_place_finds_it_again() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let builder = EtcdBackend::builder([proxy.address().to_string()]).with_prefix(&bed.prefix).with_shared_leases();
    let (holder, client) = (bed.client(), Arc::new(builder.build().unwrap()));
    let (held, waits) = (request("place", 60), request("place", 60));
    granted(&holder, &held).await;
    let Attempt::Held(seen) = client.try_acquire(&waits).await.unwrap() else { panic!("it is held") };
    proxy.cut_after_request_containing(waits.owner().to_string());
    client.wait(&waits, &seen).await.unwrap_err();
    until("the place is taken", async || bed.queue("place").len() == 2).await;
    let waiting = waiter(&client, &waits);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(bed.queue("place").len(), 2, "one place");
    holder.release(&held.claim()).await.unwrap();
    timeout(seconds(2), waiting).await.expect("served").unwrap().unwrap();
    assert_eq!(client.release(&waits.claim()).await.unwrap(), Release::Released);
    assert!(bed.queue("place").is_empty(), "{:?}", bed.queue("place"));
}

/// A lock that nobody renews is deleted without a put, so that the others of its lease can be renewed; also one whose owner
/// has a request on its way, which is refused as long as there is no space.
#[tokio::test]
async fn fault_42_server_out_of_space_ends_the_lock_that_is_overdue_and_no_other_of_its_lease() {
    let bed = Bed::of_little_space();
    let proxy = bed.proxy();
    let builder = EtcdBackend::builder([proxy.address().to_string()]).with_prefix(&bed.prefix).with_shared_leases();
    let client = builder.build().unwrap();
    let (kept, dead, lost) = (request("kept", 3), request("dead", 3), request("lost", 3));
    let grant = granted(&client, &kept).await;
    granted(&client, &dead).await;
    proxy.cut_after_request_containing(lost.owner().to_string());
    client.try_acquire(&lost).await.unwrap_err();
    until("it was applied", async || !bed.queue("lost").is_empty()).await;
    bed.fill();
    let lease = Lease::new(kept.claim(), grant.token(), grant.ttl());
    for _ in 0..16 {
        sleep(Duration::from_millis(500)).await;
        assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
    }
    assert_eq!(bed.queue("kept").len(), 1);
    assert!(bed.queue("dead").is_empty() && bed.queue("lost").is_empty(), "eight seconds without a renewal");
    assert_eq!(client.release(&lost.claim()).await.unwrap(), Release::NotHeld);
    assert_eq!(client.release(&kept.claim()).await.unwrap(), Release::Released);
}

//! Faults while a lock is held.

use std::time::{Duration, Instant};

use lock_core::{ErrorKind, Lease, LockAdmin, LockBackend, LockState, Release, Renewal, Supervisor};
use testbed::etcd::EtcdOptions;
use tokio::time::{sleep, timeout};

use crate::support::{Bed, granted, is_held, request, seconds, until};

#[tokio::test]
async fn fault_07_renewals_reply_after_the_deadline_revives_nothing() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let locks = Supervisor::new(bed.behind(&proxy));
    let guard = locks.lock("late reply").ttl(seconds(2)).acquire().await.unwrap();
    proxy.hold_replies();
    timeout(seconds(3), guard.lost()).await.expect("lost at the deadline");
    proxy.heal();
    sleep(Duration::from_millis(500)).await;
    assert!(!guard.is_held());
}

#[tokio::test]
async fn faults_08_and_35_key_deleted_by_somebody_else_is_a_loss_at_once() {
    let bed = Bed::new();
    let locks = bed.locks();
    for (name, how) in [("deleted", "del"), ("revoked", "revoke"), ("broken", "break")] {
        let guard = locks.lock(name).ttl(seconds(60)).acquire().await.unwrap();
        // The key of a lock that is held for a moment only isn't watched.
        sleep(Duration::from_millis(400)).await;
        assert!(guard.is_held());
        let began = Instant::now();
        match how {
            "del" => drop(bed.ctl().run(&["del", "--prefix", &format!("{}{name}/", bed.prefix)]).unwrap()),
            "revoke" => bed.revoke(name, 0),
            _ => drop(bed.client().break_lock(guard.key(), None).await.unwrap()),
        }
        timeout(seconds(5), guard.lost()).await.expect("told long before the next renewal");
        assert!(began.elapsed() < seconds(2), "{how}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn fault_08_renewal_before_the_watch_is_in_place_reads_the_key() {
    let bed = Bed::new();
    let client = bed.client();
    let request = request("not watched yet", 60);
    let grant = granted(&client, &request).await;
    bed.ctl().run(&["del", "--prefix", &bed.prefix]).unwrap();
    let lease = Lease::new(request.claim(), grant.token(), grant.ttl());
    assert_eq!(client.renew(&lease).await.unwrap(), Renewal::Lost);
}

/// A renewal by another backend of the same process or host knows nothing but what it is given.
#[tokio::test]
async fn fault_08_renewal_by_who_knows_nothing_asks_the_store() {
    let bed = Bed::new();
    let (client, stranger) = (bed.client(), bed.client());
    let request = request("elsewhere", 60);
    let grant = granted(&client, &request).await;
    let lease = Lease::new(request.claim(), grant.token(), grant.ttl());
    assert!(matches!(stranger.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
    bed.ctl().run(&["del", "--prefix", &bed.prefix]).unwrap();
    assert_eq!(stranger.renew(&lease).await.unwrap(), Renewal::Lost);
}

#[tokio::test]
async fn fault_09_renewals_that_fail_for_a_while_cost_nothing() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let locks = Supervisor::new(bed.behind(&proxy));
    let guard = locks.lock("blip").ttl(seconds(6)).acquire().await.unwrap();
    proxy.refuse();
    proxy.cut();
    sleep(seconds(3)).await;
    assert!(guard.is_held());
    proxy.heal();
    sleep(seconds(5)).await;
    assert_eq!(guard.state(), LockState::Held);
    guard.release().await.unwrap();
}

#[tokio::test]
async fn fault_09_renewals_that_fail_for_longer_are_a_loss_before_anyone_is_granted_the_lock() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (locks, others) = (Supervisor::new(bed.behind(&proxy)), bed.locks());
    let guard = locks.lock("gone").ttl(seconds(2)).acquire().await.unwrap();
    proxy.blackhole();
    let next = tokio::spawn(async move {
        let guard = others.lock("gone").ttl(seconds(10)).acquire().await.unwrap();
        (guard, Instant::now())
    });
    timeout(seconds(5), guard.lost()).await.expect("lost at the deadline");
    let lost = Instant::now();
    let (_guard, granted) = timeout(seconds(8), next).await.expect("taken over").unwrap();
    assert!(granted > lost, "the lock was granted {:?} before its loss was told", lost - granted);
}

#[tokio::test]
async fn fault_41_streams_that_are_cut_are_opened_anew() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let client = bed.behind(&proxy);
    let request = request("streams", 10);
    let grant = granted(&client, &request).await;
    let lease = Lease::new(request.claim(), grant.token(), grant.ttl());
    for round in 0..5 {
        assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)), "{round}");
        if round % 2 == 0 {
            proxy.reset();
        } else {
            proxy.cut();
        }
        // What was cut is told as an error at most; the next one works.
        until("renewed over a new stream", async || client.renew(&lease).await.is_ok()).await;
    }
    bed.revoke("streams", 0);
    assert_eq!(client.renew(&lease).await.unwrap(), Renewal::Lost, "a keep-alive of TTL 0");
}

#[tokio::test]
async fn fault_41_loss_is_told_after_the_watch_was_cut() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let locks = Supervisor::new(bed.behind(&proxy));
    let guard = locks.lock("watched again").ttl(seconds(60)).acquire().await.unwrap();
    sleep(Duration::from_millis(300)).await;
    proxy.reset();
    // Deleted while nobody watches: seen by the look after the new watch is in place.
    bed.ctl().run(&["del", "--prefix", &bed.prefix]).unwrap();
    timeout(seconds(5), guard.lost()).await.expect("told long before the next renewal");
}

#[tokio::test]
async fn fault_40_restart_of_the_server_loses_no_lock() {
    let mut server = EtcdOptions::default().start().unwrap();
    let locks = Supervisor::new(lock_etcd::EtcdBackend::new(server.endpoints()).unwrap());
    let guard = locks.lock("kept").ttl(seconds(15)).acquire().await.unwrap();
    let token = guard.fencing_token();
    server.restart(0).unwrap();
    sleep(seconds(7)).await;
    assert_eq!(guard.state(), LockState::Held);
    let others = lock_etcd::EtcdBackend::new(server.endpoints()).unwrap();
    let record = others.inspect(guard.key()).await.unwrap().expect("still there");
    assert_eq!(record.token(), Some(token));
    guard.release().await.unwrap();
    assert!(locks.lock("kept").acquire().await.unwrap().fencing_token() > token);
}

#[tokio::test]
async fn fault_42_server_out_of_space_is_a_typed_error_and_what_is_held_can_be_kept_and_released() {
    let bed = Bed::of_little_space();
    let client = bed.client();
    let held = request("held", 60);
    let grant = granted(&client, &held).await;
    bed.fill();
    let error = client.try_acquire(&request("more", 60)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(!error.is_transient() && error.advice().unwrap().contains("compact"), "{error}");
    let lease = Lease::new(held.claim(), grant.token(), grant.ttl());
    assert!(matches!(client.renew(&lease).await.unwrap(), Renewal::Renewed(_)));
    assert_eq!(client.release(&held.claim()).await.unwrap(), Release::Released);
    let findings = client.preflight().await;
    assert!(findings.iter().any(|finding| finding.what().contains("NOSPACE")), "{findings:?}");
}

/// The first release was applied, and its answer lost: the second is no "not held".
#[tokio::test]
async fn released_lock_whose_answer_was_lost_is_released() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let locks = Supervisor::new(bed.behind(&proxy));
    let guard = locks.lock("let go").ttl(seconds(60)).acquire().await.unwrap();
    proxy.cut_after_request_containing(b"let%20go/");
    guard.release().await.unwrap();
    assert!(!is_held(&bed.client(), "let go").await);
}

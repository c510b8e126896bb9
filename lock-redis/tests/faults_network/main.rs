//! What can go wrong between a supervisor and the server: nothing arrives, no answer comes, connections end.

#[path = "../support/mod.rs"]
mod support;

mod connections;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_core::{AcquireError, ErrorKind, LockBackend, Outcome, Release, Supervisor};
use lock_redis::RedisBackend;
use support::{LONG, acquire_within, connect, granted, is_refused, release, request, until_waiting};
use testbed::proxy::{Proxy, Trap};
use testbed::redis::RedisServer;

/// In every acquire, and in no other request.
const ACQUIRE: &[u8] = b"ttl_ms";

struct Bed {
    server: RedisServer,
    proxy: Proxy,
}

impl Bed {
    fn start() -> Self {
        let server = RedisServer::start(&[]).unwrap();
        let proxy = Proxy::to(([127, 0, 0, 1], server.port()).into());
        Self { server, proxy }
    }

    /// Through the proxy.
    async fn far(&self) -> RedisBackend {
        self.far_within(Duration::from_millis(300)).await
    }

    async fn far_within(&self, limit: Duration) -> RedisBackend {
        let address = self.proxy.address();
        let builder = RedisBackend::server(address.ip().to_string(), address.port());
        let backend = builder.with_call_limit(limit).connect().await.unwrap();
        // The server has the scripts from now on: each call is one request.
        let first = request("first", LONG);
        granted(&backend, &first).await;
        release(&backend, &first).await;
        backend
    }

    /// Past it.
    async fn near(&self) -> RedisBackend {
        connect(self.server.port()).await
    }

    async fn supervisor(&self) -> Supervisor {
        Supervisor::builder(Arc::new(self.far().await)).patience(Duration::from_secs(2)).build()
    }
}

async fn until_free(backend: &RedisBackend, limit: Duration) {
    acquire_within(backend, &request("k", LONG), limit).await;
}

#[tokio::test]
async fn fault_01_partition_before_the_request_nothing_is_held() {
    let bed = Bed::start();
    let locks = bed.supervisor().await;
    bed.proxy.cut();
    bed.proxy.refuse();
    // Until the client has seen its connection end, a request may have been sent.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let error = locks.lock("k").acquire().await.unwrap_err();
    let AcquireError::Backend(error) = error else { panic!("{error:?}") };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4) && error.to_string().contains(&bed.proxy.address().to_string()));
    granted(&bed.near().await, &request("k", LONG)).await;
}

#[tokio::test]
async fn fault_02_applied_and_reply_lost_the_same_owner_gets_the_same_token() {
    let bed = Bed::start();
    let (far, near) = (bed.far().await, bed.near().await);
    let holder = request("k", LONG);
    bed.proxy.cut_after_request_containing(ACQUIRE);
    let error = far.try_acquire(&holder).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown), "{error}");
    let Some(record) = lock_core::LockAdmin::inspect(&near, holder.key()).await.unwrap() else { panic!("not applied") };
    let grant = granted(&far, &holder).await;
    assert_eq!(record.token(), Some(grant.token()));
    // The supervisor does that by itself.
    bed.proxy.cut_after_request_containing(ACQUIRE);
    let locks = Supervisor::builder(Arc::new(far)).build();
    locks.lock("other").acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn fault_03_applied_and_never_answered_is_ambiguous_and_undone() {
    let bed = Bed::start();
    let (locks, near) = (bed.supervisor().await, bed.near().await);
    bed.proxy.set(Trap::on_request_containing(ACQUIRE).cut_after().every_time());
    let error = locks.lock("k").ttl(Duration::from_secs(30)).acquire().await.unwrap_err();
    assert!(matches!(error, AcquireError::Ambiguous(_)), "{error:?}");
    // The clean-up reaches the server; the TTL alone would take half a minute.
    until_free(&near, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn fault_04_an_acquire_dropped_under_way_is_undone() {
    let bed = Bed::start();
    let (locks, near) = (bed.supervisor().await, bed.near().await);
    bed.proxy.delay_replies(Duration::from_millis(100));
    for micros in [0, 500, 20_000, 90_000, 110_000] {
        let _ = tokio::time::timeout(Duration::from_micros(micros), locks.lock("k").acquire()).await;
        let probe = request("k", LONG);
        acquire_within(&near, &probe, Duration::from_secs(5)).await;
        release(&near, &probe).await;
    }
}

#[tokio::test]
async fn fault_05_an_acquire_applied_after_its_clean_up_is_an_orphan_for_one_ttl_at_most() {
    let bed = Bed::start();
    let (far, near) = (bed.far().await, bed.near().await);
    let late = request("k", Duration::from_millis(800));
    bed.proxy.deliver_late_request_containing(ACQUIRE);
    far.try_acquire(&late).await.unwrap_err();
    assert_eq!(release(&far, &late).await, Release::NotHeld);
    let proxy = bed.proxy;
    tokio::task::spawn_blocking(move || proxy.deliver_late()).await.unwrap();
    let applied = Instant::now();
    assert!(is_refused(&near, &request("k", LONG)).await, "the orphan holds the lock");
    until_free(&near, Duration::from_secs(3)).await;
    assert!(applied.elapsed() < Duration::from_millis(1_500), "{:?}", applied.elapsed());
}

#[tokio::test]
async fn fault_05_a_place_taken_after_its_withdrawal_holds_nobody_up() {
    let bed = Bed::start();
    let (far, near) = (bed.far().await, bed.near().await);
    let (holder, late, next) = (request("k", LONG), request("k", LONG), request("k", LONG));
    granted(&near, &holder).await;
    assert!(is_refused(&far, &late).await);
    bed.proxy.deliver_late_request_containing(b"RPUSH");
    let seen = lock_core::Contention::new(lock_core::LockRecord::unknown(late.key().clone()));
    far.wait(&late, &seen).await.unwrap_err();
    release(&far, &late).await;
    let proxy = bed.proxy;
    let proxy = tokio::task::spawn_blocking(move || {
        proxy.deliver_late();
        proxy
    });
    let _proxy = proxy.await.unwrap();
    let begun = async {
        until_waiting(&near, "k", 2).await;
        release(&near, &holder).await;
        Instant::now()
    };
    let (_, released) = tokio::join!(acquire_within(&near, &next, Duration::from_secs(5)), begun);
    assert!(released.elapsed() < Duration::from_millis(400), "{:?}", released.elapsed());
}

/// The request to stand in line arrives after the waiter has looked and stood in line once more: it has two places.
async fn with_two_places(bed: &mut Bed, far: &RedisBackend, late: &lock_core::AcquireRequest) {
    bed.proxy.deliver_late_request_containing(b"RPUSH");
    let seen = lock_core::Contention::new(lock_core::LockRecord::unknown(late.key().clone()));
    far.wait(late, &seen).await.unwrap_err();
    // Looks, finds no place and takes one.
    let _ = tokio::time::timeout(Duration::from_millis(200), far.wait(late, &seen)).await;
    assert_eq!(bed.server.command(&["LLEN", "{distlock:k}:queue"]).unwrap(), "1");
    tokio::task::block_in_place(|| bed.proxy.deliver_late());
    assert_eq!(bed.server.command(&["LLEN", "{distlock:k}:queue"]).unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_05_who_has_two_places_and_gives_up_leaves_none() {
    let mut bed = Bed::start();
    let (far, near) = (bed.far().await, bed.near().await);
    let (holder, late) = (request("k", LONG), request("k", LONG));
    granted(&near, &holder).await;
    assert!(is_refused(&far, &late).await);
    with_two_places(&mut bed, &far, &late).await;
    release(&far, &late).await;
    assert_eq!(bed.server.command(&["LLEN", "{distlock:k}:queue"]).unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_05_who_has_two_places_and_is_served_holds_nobody_up() {
    let mut bed = Bed::start();
    let (far, near) = (bed.far().await, bed.near().await);
    let (holder, late, next) = (request("k", LONG), request("k", LONG), request("k", LONG));
    granted(&near, &holder).await;
    assert!(is_refused(&far, &late).await);
    with_two_places(&mut bed, &far, &late).await;
    release(&near, &holder).await;
    granted(&far, &late).await;
    let told = || {
        bed.server.commands().unwrap().into_iter().filter(|(name, _)| name == "publish").map(|(_, n)| n).sum::<u64>()
    };
    let told_before = told();
    let begun = async {
        until_waiting(&near, "k", 2).await;
        assert_eq!(release(&far, &late).await, Release::Released);
        Instant::now()
    };
    let (_, released) = tokio::join!(acquire_within(&near, &next, Duration::from_secs(5)), begun);
    assert!(released.elapsed() < Duration::from_millis(300), "{:?}", released.elapsed());
    assert_eq!(told() - told_before, 1, "it was handed to the one that let go, and by that to the next");
}

#[tokio::test]
async fn fault_06_a_guard_dropped_outside_of_its_runtime_panics_nobody() {
    let bed = Bed::start();
    let port = bed.server.port();
    let guard = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let locks = Supervisor::new(connect(port).await);
            locks.lock("k").ttl(Duration::from_millis(500)).acquire().await.unwrap()
        })
    });
    let guard = guard.join().unwrap();
    drop(guard);
    until_free(&bed.near().await, Duration::from_secs(3)).await;
}

#[tokio::test]
async fn fault_07_a_renewal_answered_after_the_deadline_revives_nothing() {
    let bed = Bed::start();
    let locks = bed.supervisor().await;
    let guard = locks.lock("k").ttl(Duration::from_millis(900)).acquire().await.unwrap();
    bed.proxy.hold_replies();
    guard.lost().await;
    bed.proxy.heal();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!guard.is_held());
}

#[tokio::test]
async fn fault_08_a_renewal_that_says_not_yours_is_a_loss_at_once() {
    let bed = Bed::start();
    let locks = bed.supervisor().await;
    let guard = locks.lock("k").ttl(Duration::from_secs(3)).acquire().await.unwrap();
    bed.server.command(&["DEL", "distlock:k"]).unwrap();
    let began = Instant::now();
    guard.lost().await;
    assert!(began.elapsed() < Duration::from_secs(2), "at the renewal, not at the deadline");
}

#[tokio::test]
async fn fault_09_renewals_that_fail_for_a_while_lose_nothing() {
    let bed = Bed::start();
    let locks = bed.supervisor().await;
    let guard = locks.lock("k").ttl(Duration::from_secs(3)).acquire().await.unwrap();
    for _ in 0..3 {
        bed.proxy.reset();
        bed.proxy.refuse();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        bed.proxy.heal();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(guard.is_held());
    // And for good: lost before the server lets go.
    bed.proxy.blackhole();
    guard.lost().await;
    assert!(is_refused(&bed.near().await, &request("k", LONG)).await, "the loss was told before the expiry");
}

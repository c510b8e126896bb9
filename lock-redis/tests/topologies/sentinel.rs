//! A master that is killed, and its replica that follows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lock_core::{ErrorKind, FencingGate, LockBackend, Outcome, Release, Renewal, Supervisor};
use lock_redis::RedisBackend;
use testbed::redis::{RedisSentinels, RedisServer};

use crate::support::{LONG, acquire_within, connect, granted, is_refused, release, renew, request, until_waiting};

async fn through(sentinels: &RedisSentinels) -> RedisBackend {
    RedisBackend::sentinel(sentinels.addresses(), sentinels.name()).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_sentinels_keeps_what_the_replica_had_and_never_grants_a_lower_token() {
    let mut sentinels = RedisSentinels::start().unwrap();
    let (a, b) = (through(&sentinels).await, through(&sentinels).await);
    // Acquire and hand-off before it.
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    granted(&a, &holder).await;
    let (grant, ()) = tokio::join!(acquire_within(&b, &waiter, LONG), async {
        until_waiting(&a, "k", 1).await;
        release(&a, &holder).await;
    });
    // What was handed over is kept for two seconds, unless it is renewed; a failover takes longer.
    assert!(matches!(renew(&b, &waiter, &grant).await.unwrap(), Renewal::Renewed(_)));
    // The replica has it.
    let replica = sentinels.first_replica().port();
    let left = |server: &RedisServer| server.command(&["PTTL", "distlock:k"]).unwrap().parse::<i64>().unwrap();
    while left(sentinels.first_replica()) < 10_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let there = sentinels.first_replica().command(&["GET", "distlock:k"]).unwrap();
    assert!(there.contains(&waiter.owner().to_string()), "{there}");
    let next = request("k", LONG);
    let waiting = tokio::spawn(async move { (acquire_within(&a, &next, LONG).await, a, next) });
    until_waiting(&b, "k", 1).await;

    sentinels.first_master().kill().unwrap();
    sentinels.until_master_is(replica).unwrap();
    // The holder keeps it through the failover; the waiter waits on, and is handed it.
    let mut answer = renew(&b, &waiter, &grant).await;
    for _ in 0..100 {
        match answer {
            Ok(_) => break,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = renew(&b, &waiter, &grant).await;
    }
    let there = sentinels.first_replica().command(&["GET", "distlock:k"]).unwrap();
    assert!(matches!(answer.unwrap(), Renewal::Renewed(_)), "{} lost it to {there}", waiter.owner());
    assert!(!waiting.is_finished());
    assert_eq!(release(&b, &waiter).await, Release::Released);
    let (after, a, next) = waiting.await.unwrap();
    assert!(after.token() > grant.token(), "{} after {}", after.token(), grant.token());
    assert_eq!(release(&a, &next).await, Release::Released);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_line_outlasts_a_failover_and_the_holder_keeps_its_lock() {
    let mut sentinels = RedisSentinels::start().unwrap();
    // The failover takes some seconds: longer than a newcomer would try.
    let patience = Duration::from_millis(300);
    let locks = async || Supervisor::builder(Arc::new(through(&sentinels).await)).patience(patience).build();
    let (a, b) = (locks().await, locks().await);
    let held = a.lock("k").ttl(Duration::from_secs(30)).acquire().await.unwrap();
    let waiting = tokio::spawn(async move { b.lock("k").ttl(Duration::from_secs(30)).acquire().await });
    until_waiting(&through(&sentinels).await, "k", 1).await;
    let (replica, token) = (sentinels.first_replica(), held.fencing_token());
    while !replica.command(&["GET", "distlock:k"]).unwrap().contains(&token.to_string()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let port = replica.port();
    let killed = Instant::now();
    sentinels.first_master().kill().unwrap();
    sentinels.until_master_is(port).unwrap();
    assert!(killed.elapsed() > patience, "{:?}", killed.elapsed());
    let renewed = connect(port).await;
    until_waiting(&renewed, "k", 1).await;
    assert!(held.is_held() && !waiting.is_finished());
    held.release().await.unwrap();
    let next = waiting.await.unwrap().expect("a place in line isn't lost by a failover");
    assert!(next.fencing_token() > token, "{} after {token}", next.fencing_token());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_32_a_failover_to_a_replica_without_the_lock_grants_twice_and_the_token_tells() {
    let mut sentinels = RedisSentinels::start().unwrap();
    let backend = through(&sentinels).await;
    let first = request("k", LONG);
    let replica = sentinels.first_replica().port();
    // The replica is cut off, and can't come back; who is connected stays so.
    let master = sentinels.first_master();
    master.cli().run_plain(&["CONFIG", "SET", "requirepass", "x"]).unwrap();
    master.cli().run_plain(&["--no-auth-warning", "-a", "x", "CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    let old = granted(&backend, &first).await;
    master.kill().unwrap();
    sentinels.until_master_is(replica).unwrap();
    let second = request("k", LONG);
    let new = acquire_within(&backend, &second, Duration::from_secs(20)).await;
    assert!(new.token() > old.token(), "{} after {}", new.token(), old.token());
    // Both believe; the resource believes the later.
    let gate = FencingGate::new();
    gate.admit(new.token(), second.owner()).unwrap();
    gate.admit(old.token(), first.owner()).unwrap_err();
    assert_eq!(renew(&backend, &first, &old).await.unwrap(), Renewal::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sentinel_that_hangs_keeps_nobody_from_the_master() {
    let sentinels = RedisSentinels::start().unwrap();
    sentinels.sentinels().next().unwrap().stop().unwrap();
    granted(&through(&sentinels).await, &request("k", LONG)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_without_a_password_lead_to_a_master_that_has_one() {
    let mut sentinels = RedisSentinels::start().unwrap();
    let (addresses, name) = (sentinels.addresses(), sentinels.name());
    let master = sentinels.first_master();
    master.cli().run_plain(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    master.cli().run_plain(&["CONFIG", "SET", "requirepass", "secret"]).unwrap();
    let at = || RedisBackend::sentinel(addresses.clone(), name);
    granted(&at().with_password("secret").connect().await.unwrap(), &request("k", LONG)).await;
    granted(&at().with_user("app").with_password("secret").connect().await.unwrap(), &request("k2", LONG)).await;
    let wrong = at().with_password("wrong").connect().await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::PermissionDenied, "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_min_replicas_a_lock_that_no_replica_has_is_given_back() {
    let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).unwrap();
    let wait = Duration::from_millis(300);
    let careful = RedisBackend::server("127.0.0.1", master.port()).with_min_replicas(1, wait).connect().await.unwrap();
    let plain = connect(master.port()).await;
    let error = careful.try_acquire(&request("k", LONG)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    assert!(error.is_transient() && error.message().contains("0 of 1 replicas"), "{error}");
    granted(&plain, &request("k", LONG)).await;
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &master.port().to_string()]).unwrap();
    let holder = request("other", LONG);
    acquire_within(&careful, &holder, Duration::from_secs(20)).await;
    assert_eq!(replica.command(&["EXISTS", "distlock:other"]).unwrap(), "1");
    // The replica hangs: renewals go on meanwhile.
    // (On a busy machine the replica may be late with its word: that is a refusal as well.)
    let grant = acquire_within(&careful, &holder, Duration::from_secs(20)).await;
    replica.process().stop().unwrap();
    let third = request("third", LONG);
    let (refused, renewed) = tokio::join!(careful.try_acquire(&third), async {
        let began = std::time::Instant::now();
        renew(&careful, &holder, &grant).await.unwrap();
        began.elapsed()
    });
    refused.unwrap_err();
    assert!(renewed < wait, "{renewed:?}");
    replica.process().go_on().unwrap();
    assert!(!is_refused(&plain, &request("third", LONG)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_min_replicas_many_acquires_share_the_wait() {
    let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).unwrap();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &master.port().to_string()]).unwrap();
    let builder = RedisBackend::server("127.0.0.1", master.port());
    let careful = builder.with_min_replicas(1, Duration::from_millis(300)).connect().await.unwrap();
    let careful = std::sync::Arc::new(careful);
    let first = request("first", LONG);
    acquire_within(&careful, &first, Duration::from_secs(20)).await;
    replica.process().stop().unwrap();
    let began = std::time::Instant::now();
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let careful = careful.clone();
            tokio::spawn(async move { careful.try_acquire(&request(&format!("k{n}"), LONG)).await.map(|_| ()) })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(error.message().contains("0 of 1 replicas") && error.is_transient(), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(master.command(&["KEYS", "distlock:k*"]).unwrap_or_default().trim(), "", "all given back");
}

#[tokio::test]
async fn replicas_are_not_waited_for_longer_than_a_call_may_take() {
    let builder = RedisBackend::server("127.0.0.1", 1);
    for limit in [Duration::ZERO, Duration::from_secs(1)] {
        let error = builder.clone().with_min_replicas(1, limit).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfiguration, "{error}");
    }
    let no_password = builder.with_user("app").connect().await.unwrap_err();
    assert_eq!(no_password.kind(), ErrorKind::InvalidConfiguration, "{no_password}");
}

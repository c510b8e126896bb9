//! What can go wrong in a server: scripts flushed, data lost, memory full, wrong types, other states.

mod support;

use std::time::{Duration, Instant};

use lock_core::{
    Attempt, BreakOutcome, ErrorKind, FencingToken, LockAdmin, LockBackend, Outcome, Release, Renewal, Severity,
    Supervisor, SystemClock,
};
use lock_redis::RedisBackend;
use support::{
    LONG, acquire, acquire_within, connect, granted, is_refused, key, release, renew, request, until_waiting,
};
use testbed::redis::RedisServer;

#[tokio::test]
async fn fault_30_script_flush_is_survived() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    let grant = granted(&backend, &holder).await;
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(release(&backend, &holder).await, Release::Released);
}

#[tokio::test]
async fn fault_30_a_restart_that_keeps_the_data_keeps_the_lock() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.kill().unwrap();
    let error = renew(&backend, &holder, &grant).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.start_again().unwrap();
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
    assert!(is_refused(&backend, &request("k", LONG)).await);
}

#[tokio::test]
async fn fault_31_restart_with_data_lost_the_holder_is_lost_and_the_next_token_is_higher() {
    let mut server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, next) = (request("k", LONG), request("k", LONG));
    let grant = granted(&backend, &holder).await;
    server.kill().unwrap();
    server.start_again().unwrap();
    // The end of the connection may be noticed by this very call.
    let answer = match renew(&backend, &holder, &grant).await {
        Err(error) if error.is_transient() => renew(&backend, &holder, &grant).await,
        answer => answer,
    };
    assert_eq!(answer.unwrap(), Renewal::Lost);
    let after = granted(&backend, &next).await;
    assert!(after.token() > grant.token(), "{} after {}", after.token(), grant.token());
}

#[tokio::test]
async fn fault_31_flushall_frees_the_lock_and_tokens_keep_rising() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let mut last = FencingToken::new(0);
    for _ in 0..20 {
        // A row of hand-offs, whose tokens are one apart, must not run ahead of the clock either.
        let requests: Vec<_> = (0..20).map(|_| request("k", LONG)).collect();
        granted(&backend, &requests[0]).await;
        let waiting = async {
            for request in &requests[1..] {
                let grant = acquire(&backend, request).await.unwrap();
                assert!(grant.token() > last);
                last = grant.token();
                release(&backend, request).await;
            }
        };
        tokio::join!(waiting, async {
            until_waiting(&backend, "k", 1).await;
            release(&backend, &requests[0]).await;
        });
        server.command(&["FLUSHALL"]).unwrap();
    }
}

#[tokio::test]
async fn fault_31_who_waits_when_the_data_is_lost_waits_no_longer_than_its_look() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    granted(&backend, &request("k", LONG)).await;
    let waiter = request("k", LONG);
    let waiting = acquire(&backend, &waiter);
    let lost = async {
        until_waiting(&backend, "k", 1).await;
        server.command(&["FLUSHALL"]).unwrap();
        Instant::now()
    };
    let (grant, lost) = tokio::join!(waiting, lost);
    grant.unwrap();
    assert!(lost.elapsed() < backend.capabilities().wake_up_within());
}

#[tokio::test]
async fn fault_33_when_memory_is_full_acquiring_fails_and_letting_go_works() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let error = backend.try_acquire(&request("other", LONG)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ResourceExhausted, Outcome::NotApplied), "{error}");
    assert!(error.is_transient() && error.message().contains("OOM"), "{error}");
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
    assert_eq!(release(&backend, &holder).await, Release::Released);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    assert!(granted(&backend, &request("k", LONG)).await.token() > grant.token());
}

#[tokio::test]
async fn fault_33_a_waiter_gets_the_lock_that_was_released_while_memory_was_full() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    let grant = granted(&backend, &holder).await;
    let release = async {
        until_waiting(&backend, "k", 1).await;
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        assert_eq!(release(&backend, &holder).await, Release::Released);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    };
    let (next, ()) = tokio::join!(acquire_within(&backend, &waiter, Duration::from_secs(5)), release);
    assert!(next.token() > grant.token());
}

#[tokio::test]
async fn fault_34_a_key_of_another_type_is_an_error_and_nothing_is_half_done() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    server.command(&["HSET", "distlock:k", "field", "x"]).unwrap();
    for error in [
        backend.try_acquire(&request("k", LONG)).await.unwrap_err(),
        backend.inspect(&key("k")).await.unwrap_err(),
        backend.break_lock(&key("k"), None).await.unwrap_err(),
        backend.release(&request("k", LONG).claim()).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied), "{error}");
        assert!(!error.is_transient() && error.key() == Some(&key("k")) && error.advice().is_some(), "{error}");
    }
    assert_eq!(server.command(&["KEYS", "*"]).unwrap(), "distlock:k");
    // A queue of another type can't hold anybody.
    server.command(&["SET", "{distlock:q}:queue", "x"]).unwrap();
    assert_eq!(backend.try_acquire(&request("q", LONG)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(server.command(&["EXISTS", "distlock:q", "{distlock:q}:last"]).unwrap(), "0");
    assert!(backend.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn fault_35_foreign_del_is_a_loss_at_the_next_renewal() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.command(&["DEL", "distlock:k"]).unwrap();
    assert_eq!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Lost);
    assert_eq!(release(&backend, &holder).await, Release::NotHeld);
    assert!(granted(&backend, &request("k", LONG)).await.token() > grant.token());
}

#[tokio::test]
async fn fault_35_a_wrong_owner_releases_and_renews_nothing() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, other) = (request("k", LONG), request("k", LONG));
    let grant = granted(&backend, &holder).await;
    assert_eq!(release(&backend, &other).await, Release::NotHeld);
    assert_eq!(renew(&backend, &other, &grant).await.unwrap(), Renewal::Lost);
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
}

#[tokio::test]
async fn fault_36_readonly_loading_and_busy_are_transient_and_not_applied() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    let master = RedisServer::start(&[]).unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).unwrap();
    let error = backend.try_acquire(&request("other", LONG)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    assert!(error.is_transient() && error.message().contains("READONLY"), "{error}");
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    // Kept, or gone with the data, should it have followed its master for a moment: an answer in any case.
    renew(&backend, &holder, &grant).await.unwrap();

    server.command(&["CONFIG", "SET", "busy-reply-threshold", "50"]).unwrap();
    let cli = server.cli().clone();
    let script = std::thread::spawn(move || cli.run(&["EVAL", "while true do end", "0"]));
    let error = loop {
        match backend.try_acquire(&request("other", LONG)).await {
            Err(error) if error.message().contains("BUSY") => break error,
            Err(error) => assert!(error.is_transient(), "{error}"),
            Ok(_) => {}
        }
    };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    server.command(&["SCRIPT", "KILL"]).unwrap();
    assert!(script.join().unwrap().is_err());
    acquire_within(&backend, &request("third", LONG), Duration::from_secs(5)).await;
}

/// Hands the lock to the first waiter as a release does, and the message gets lost.
const HAND_ON_IN_SILENCE: &str = r#"
    local owner, body = string.match(redis.call('LPOP', KEYS[2]), '^(%x+) %S+ (.*)$')
    redis.call('SET', KEYS[1], '{"token":' .. ARGV[1] .. ',"owner":"' .. owner .. '","reserved":true,' .. body, 'PX', 500)
    return redis.status_reply('OK')"#;

#[tokio::test]
async fn fault_37_a_dropped_message_costs_a_look_and_not_the_turn() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, waiting) = (connect(server.port()).await, connect(server.port()).await);
    for after in [0, 100, 200, 280] {
        let (holder, first, second) = (request("k", LONG), request("k", LONG), request("k", LONG));
        let held = granted(&holding, &holder).await;
        let hand_on = async {
            until_waiting(&holding, "k", 2).await;
            tokio::time::sleep(Duration::from_millis(after)).await;
            let token = (held.token().get() + 1).to_string();
            let words = ["EVAL", HAND_ON_IN_SILENCE, "2", "distlock:k", "{distlock:k}:queue", &token];
            server.command(&words).unwrap();
            Instant::now()
        };
        let in_turn = async {
            let grant = acquire(&waiting, &first).await.unwrap();
            let taken = Instant::now();
            release(&waiting, &first).await;
            (grant, taken)
        };
        let behind = async {
            until_waiting(&holding, "k", 1).await;
            let grant = acquire(&holding, &second).await.unwrap();
            release(&holding, &second).await;
            grant
        };
        let (handed_on, (grant, taken), next) = tokio::join!(hand_on, in_turn, behind);
        assert_eq!(grant.token().get(), held.token().get() + 1, "after {after} ms it came too late for what was kept");
        assert!(next.token() > grant.token(), "after {after} ms the second came first");
        assert!(taken - handed_on < Duration::from_millis(500), "{:?}", taken - handed_on);
    }
}

#[tokio::test]
async fn fault_37_a_lock_that_is_deleted_is_found_free_within_the_fallback() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, waiting) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    let first = granted(&holding, &holder).await;
    let free = async {
        until_waiting(&holding, "k", 1).await;
        // Freed by somebody who publishes nothing.
        server.command(&["DEL", "distlock:k"]).unwrap();
        Instant::now()
    };
    let (grant, freed) = tokio::join!(acquire(&waiting, &waiter), free);
    assert!(grant.unwrap().token() > first.token());
    assert!(freed.elapsed() < waiting.capabilities().wake_up_within(), "{:?}", freed.elapsed());
}

#[tokio::test]
async fn the_check_leaves_nothing_behind() {
    let server = RedisServer::start(&[]).unwrap();
    server.command(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    let builder = RedisBackend::server("127.0.0.1", server.port()).with_user("app").with_password("secret");
    let backend = builder.connect().await.unwrap();
    backend.preflight().await;
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
    // Not when a step in the middle isn't allowed, either.
    server.command(&["ACL", "SETUSER", "app", "-pexpire"]).unwrap();
    let findings = backend.preflight().await;
    assert!(findings.iter().any(|finding| finding.severity() > Severity::Warning), "{findings:?}");
    assert_eq!(server.command(&["DBSIZE"]).unwrap(), "0");
}

#[tokio::test]
async fn fault_37_a_waiter_whose_connection_was_cut_hears_again() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, waiting) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    granted(&holding, &holder).await;
    let cut = async {
        until_waiting(&holding, "k", 1).await;
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        until_waiting(&holding, "k", 1).await;
        release(&holding, &holder).await;
        Instant::now()
    };
    let (_, released) = tokio::join!(acquire_within(&waiting, &waiter, Duration::from_secs(10)), cut);
    // By message, or by a look at worst.
    assert!(released.elapsed() < Duration::from_millis(400), "{:?}", released.elapsed());
}

#[tokio::test]
async fn fault_37_a_clock_that_ran_ahead_and_was_set_back_leaves_tokens_rising() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let ahead = granted(&backend, &request("k", LONG)).await.token().get() + 3_600_000_000;
    server.command(&["DEL", "distlock:k"]).unwrap();
    server.command(&["SET", "{distlock:k}:last", &ahead.to_string()]).unwrap();
    let mut last = FencingToken::new(ahead);
    for _ in 0..5 {
        let holder = request("k", LONG);
        let token = granted(&backend, &holder).await.token();
        assert!(token > last, "{token} after {last}");
        last = token;
        release(&backend, &holder).await;
    }
    assert!(last.get() < ahead + 100, "tokens run ahead: {last} after {ahead}");
}

#[tokio::test]
async fn tokens_beyond_what_a_double_holds_are_exact() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    for (last, next) in [
        ("9007199254740993", 9_007_199_254_740_994),
        ("9007199999999999", 9_007_200_000_000_000),
        ("999999999999999999", 1_000_000_000_000_000_000),
        ("1799999999999999999", 1_800_000_000_000_000_000),
    ] {
        server.command(&["SET", "{distlock:k}:last", last]).unwrap();
        let (holder, waiter) = (request("k", LONG), request("k", LONG));
        assert_eq!(granted(&backend, &holder).await.token().get(), next, "after {last}");
        let (handed, ()) = tokio::join!(acquire(&backend, &waiter), async {
            until_waiting(&backend, "k", 1).await;
            release(&backend, &holder).await;
        });
        assert_eq!(handed.unwrap().token().get(), next + 1);
        release(&backend, &waiter).await;
    }
    // What isn't a token is none.
    server.command(&["SET", "{distlock:k}:last", "garbage"]).unwrap();
    granted(&backend, &request("k", LONG)).await;
}

#[tokio::test]
async fn who_lost_its_place_stands_in_line_again() {
    let server = RedisServer::start(&[]).unwrap();
    let (a, b) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    granted(&a, &holder).await;
    let (grant, released) = tokio::join!(acquire(&b, &waiter), async {
        until_waiting(&a, "k", 1).await;
        server.command(&["DEL", "{distlock:k}:queue"]).unwrap();
        until_waiting(&a, "k", 1).await;
        release(&a, &holder).await;
        Instant::now()
    });
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(300), "{:?}", released.elapsed());
}

#[tokio::test]
async fn a_wait_that_begins_after_the_release_is_over_at_once() {
    let server = RedisServer::start(&[]).unwrap();
    let backend = connect(server.port()).await;
    let (holder, late) = (request("k", LONG), request("k", LONG));
    granted(&backend, &holder).await;
    let Attempt::Held(seen) = backend.try_acquire(&late).await.unwrap() else { panic!("granted") };
    release(&backend, &holder).await;
    let began = Instant::now();
    backend.wait(&late, &seen).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    granted(&backend, &late).await;
}

#[tokio::test]
async fn a_break_tells_the_holder_at_once() {
    let server = RedisServer::start(&[]).unwrap();
    let admin = connect(server.port()).await;
    let locks = Supervisor::builder(std::sync::Arc::new(connect(server.port()).await))
        .clock(std::sync::Arc::new(SystemClock::new(lock_core::LeaseClock::Boot)))
        .build();
    let guard = locks.lock("k").ttl(LONG).acquire().await.unwrap();
    assert!(matches!(admin.break_lock(&key("k"), None).await.unwrap(), BreakOutcome::Broken(_)));
    tokio::time::timeout(Duration::from_secs(2), guard.lost()).await.expect("the renewal is 10 to 20 s away");
}

#[tokio::test]
async fn a_hung_waiter_delays_the_next_by_a_second_at_most_and_a_dead_one_not_at_all() {
    let server = RedisServer::start(&[]).unwrap();
    let (holding, hung, next) =
        (connect(server.port()).await, connect(server.port()).await, connect(server.port()).await);
    let (holder, waits) = (request("k", LONG), request("k", LONG));
    granted(&holding, &holder).await;
    // Alive, and never coming back for the lock.
    let gone = request("k", LONG);
    let Attempt::Held(seen) = hung.try_acquire(&gone).await.unwrap() else { panic!("granted") };
    assert!(tokio::time::timeout(Duration::from_millis(100), hung.wait(&gone, &seen)).await.is_err());
    let release_it = async {
        until_waiting(&holding, "k", 2).await;
        release(&holding, &holder).await;
        Instant::now()
    };
    let (grant, released) = tokio::join!(acquire(&next, &waits), release_it);
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(1_300), "{:?}", released.elapsed());

    // Dead: its connection is gone.
    let gone = request("k", LONG);
    let Attempt::Held(seen) = hung.try_acquire(&gone).await.unwrap() else { panic!("granted") };
    assert!(tokio::time::timeout(Duration::from_millis(100), hung.wait(&gone, &seen)).await.is_err());
    let last = request("k", LONG);
    let release_it = async {
        until_waiting(&holding, "k", 2).await;
        drop(hung);
        // The server has seen the end: of three clients, two listen.
        while server.command(&["PUBSUB", "CHANNELS"]).unwrap().lines().count() > 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        release(&next, &waits).await;
        Instant::now()
    };
    let (grant, released) = tokio::join!(acquire(&holding, &last), release_it);
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(300), "{:?}", released.elapsed());
}

#[tokio::test]
async fn after_an_expiry_the_first_waiter_is_served_and_newcomers_are_not() {
    let server = RedisServer::start(&[]).unwrap();
    let (a, b) = (connect(server.port()).await, connect(server.port()).await);
    granted(&a, &request("k", Duration::from_millis(700))).await;
    let waiter = request("k", LONG);
    let newcomers = async {
        until_waiting(&a, "k", 1).await;
        let end = Instant::now() + Duration::from_millis(1_200);
        while Instant::now() < end {
            assert!(is_refused(&a, &request("k", LONG)).await, "a newcomer overtook");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (grant, ()) = tokio::join!(acquire(&b, &waiter), newcomers);
    grant.unwrap();
}

#[tokio::test]
async fn a_lock_kept_for_a_waiter_that_gave_up_goes_to_the_next() {
    let server = RedisServer::start(&[]).unwrap();
    let (a, b) = (connect(server.port()).await, connect(server.port()).await);
    let (holder, gone, next) = (request("k", LONG), request("k", LONG), request("k", LONG));
    granted(&a, &holder).await;
    let Attempt::Held(seen) = b.try_acquire(&gone).await.unwrap() else { panic!("granted") };
    assert!(tokio::time::timeout(Duration::from_millis(100), b.wait(&gone, &seen)).await.is_err());
    assert_eq!(release(&b, &gone).await, Release::NotHeld);
    // A place that arrives after its withdrawal, as a delayed packet would bring it.
    let channel = server.command(&["PUBSUB", "CHANNELS"]).unwrap();
    let channels: Vec<_> = channel.lines().collect();
    for channel in &channels {
        let entry = format!("{} {channel} \"key\":\"k\"}}", gone.owner());
        server.command(&["RPUSH", "{distlock:k}:queue", &entry]).unwrap();
    }
    let release_it = async {
        until_waiting(&a, "k", channels.len() as u64 + 1).await;
        release(&a, &holder).await;
        Instant::now()
    };
    let (grant, released) = tokio::join!(acquire(&a, &next), release_it);
    grant.unwrap();
    assert!(released.elapsed() < Duration::from_millis(400), "{:?}", released.elapsed());
}

#[tokio::test]
async fn the_check_tells_eviction_persistence_replicas_and_rights() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]).unwrap();
    let backend = connect(server.port()).await;
    let of = |findings: &[lock_core::Finding], check: &str| {
        findings.iter().find(|finding| finding.check() == check).unwrap_or_else(|| panic!("no {check}")).severity()
    };
    let findings = backend.preflight().await;
    assert_eq!(of(&findings, "version"), Severity::Good);
    assert_eq!(of(&findings, "eviction"), Severity::Warning);
    assert_eq!(of(&findings, "persistence"), Severity::Warning);
    assert_eq!(of(&findings, "replicas"), Severity::Good);
    assert_eq!(of(&findings, "clock"), Severity::Good);
    assert_eq!(of(&findings, "locking"), Severity::Good);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "appendonly", "yes"]).unwrap();
    let findings = backend.preflight().await;
    assert_eq!((of(&findings, "eviction"), of(&findings, "persistence")), (Severity::Good, Severity::Good));
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &server.port().to_string()]).unwrap();
    let error = RedisBackend::server("127.0.0.1", replica.port()).connect().await.unwrap().preflight().await;
    assert_eq!(of(&error, "replicas"), Severity::Unusable);
    assert!(server.command(&["KEYS", "*distlock-check*"]).unwrap().lines().all(|name| name.ends_with(":last")));
}

//! What the check of a server says, and that it leaves nothing behind.

use std::time::Duration;

use lock_core::{LockAdmin, Severity};
use lock_redis::RedisBackend;
use testbed::redis::RedisServer;

use crate::support::connect;

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
    while !server.command(&["INFO", "replication"]).unwrap().contains("state=online") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let findings = backend.preflight().await;
    assert_eq!((of(&findings, "replicas"), of(&findings, "replica-clock")), (Severity::Warning, Severity::Good));
    let error = RedisBackend::server("127.0.0.1", replica.port()).connect().await.unwrap().preflight().await;
    assert_eq!(of(&error, "replicas"), Severity::Unusable);
    assert!(server.command(&["KEYS", "*distlock-check*"]).unwrap().lines().all(|name| name.ends_with(":last")));
}

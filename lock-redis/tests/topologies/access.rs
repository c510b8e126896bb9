//! Passwords, rights, certificates: who isn't let in is told so, without the password.

use std::error::Error as _;
use std::fs;

use lock_core::{BackendError, ErrorKind, LockAdmin, LockBackend, Severity};
use lock_redis::{RedisBackend, RedisBuilder, Tls};
use testbed::redis::{RedisServer, RedisTls};

use crate::support::{LONG, acquire, granted, release, request, until_waiting};

/// What docs/backends/redis.md says a user needs.
const RULE: &[&str] = &[
    "ACL",
    "SETUSER",
    "app",
    "on",
    ">secret",
    "resetkeys",
    "~distlock:*",
    "~{distlock:*",
    "resetchannels",
    "&distlock:*",
    "&{distlock:*",
    "nocommands",
    "+eval",
    "+evalsha",
    "+get",
    "+set",
    "+del",
    "+exists",
    "+time",
    "+pttl",
    "+pexpire",
    "+rpush",
    "+lpop",
    "+lrem",
    "+lpos",
    "+llen",
    "+publish",
    "+spublish",
    "+subscribe",
    "+ssubscribe",
    "+scan",
    "+cluster|slots",
    "+wait",
    "+role",
    "+select",
];

fn at(server: &RedisServer) -> RedisBuilder {
    RedisBackend::server("127.0.0.1", server.port())
}

fn refuses(error: &BackendError, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    let mut source = error.source();
    while let Some(inner) = source {
        assert!(!format!("{inner} {inner:?}").contains("secret"), "{inner:?}");
        source = inner.source();
    }
    assert!(error.advice().is_some(), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_permission_denied_and_a_right_one_lets_in() {
    let server = RedisServer::start(&["--requirepass", "secret"]).unwrap();
    refuses(&at(&server).connect().await.unwrap_err(), ErrorKind::PermissionDenied);
    refuses(&at(&server).with_password("secret2").connect().await.unwrap_err(), ErrorKind::PermissionDenied);
    let wrong = at(&server).with_user("nobody").with_password("secret").connect().await.unwrap_err();
    refuses(&wrong, ErrorKind::PermissionDenied);
    let builder = at(&server).with_password("secret");
    assert!(!format!("{builder:?}").contains("secret"));
    granted(&builder.connect().await.unwrap(), &request("k", LONG)).await;
}

#[tokio::test]
async fn the_rule_in_the_documents_is_enough_and_less_is_permission_denied() {
    let server = RedisServer::start(&[]).unwrap();
    server.command(RULE).unwrap();
    let app = || at(&server).with_user("app").with_password("secret").connect();
    let (a, b) = (app().await.unwrap(), app().await.unwrap());
    let (holder, waiter) = (request("k", LONG), request("k", LONG));
    let grant = granted(&a, &holder).await;
    let (next, ()) = tokio::join!(acquire(&b, &waiter), async {
        until_waiting(&a, "k", 1).await;
        release(&a, &holder).await;
    });
    assert!(next.unwrap().token() > grant.token());
    assert_eq!(a.list("").await.unwrap().len(), 1);
    let findings = a.preflight().await;
    assert!(findings.iter().all(|finding| finding.severity() <= Severity::Warning), "{findings:?}");
    server.command(&["ACL", "SETUSER", "app", "-evalsha"]).unwrap();
    refuses(&a.try_acquire(&request("k", LONG)).await.unwrap_err(), ErrorKind::PermissionDenied);
    assert!(a.preflight().await.iter().any(|finding| finding.severity() == Severity::Denied));
    server.command(&["ACL", "SETUSER", "app", "+evalsha", "resetkeys", "~other:*"]).unwrap();
    refuses(&a.try_acquire(&request("k", LONG)).await.unwrap_err(), ErrorKind::PermissionDenied);
    server.command(&["ACL", "SETUSER", "app", "resetchannels"]).unwrap();
    refuses(&app().await.unwrap_err(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_names_the_address() {
    let port = testbed::port::free().unwrap();
    let error = RedisBackend::server("127.0.0.1", port).with_password("secret").connect().await.unwrap_err();
    refuses(&error, ErrorKind::Unavailable);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")) && error.is_transient(), "{error}");
    let sentinel = RedisBackend::sentinel([("127.0.0.1".to_owned(), port)], "main").connect().await.unwrap_err();
    refuses(&sentinel, ErrorKind::Unavailable);
    let cluster = RedisBackend::cluster([("127.0.0.1".to_owned(), port)]).connect().await.unwrap_err();
    refuses(&cluster, ErrorKind::Unavailable);
    let server = RedisServer::start(&[]).unwrap();
    let none = at(&server).with_database(99).connect().await.unwrap_err();
    refuses(&none, ErrorKind::InvalidConfiguration);
    let no_cluster = RedisBackend::cluster([("127.0.0.1".to_owned(), server.port())]).connect().await.unwrap_err();
    assert!(!no_cluster.is_transient(), "{no_cluster}");
}

#[tokio::test]
async fn databases_are_worlds_of_their_own() {
    let server = RedisServer::start(&[]).unwrap();
    let (zero, three) = (at(&server).connect().await.unwrap(), at(&server).with_database(3).connect().await.unwrap());
    granted(&zero, &request("k", LONG)).await;
    granted(&three, &request("k", LONG)).await;
}

#[tokio::test]
async fn tls_with_an_authority_and_a_client_certificate() {
    let server = RedisTls::start(&[]).unwrap();
    let read = |name: &str| fs::read(server.file(name)).unwrap();
    let with = |tls: Tls| RedisBackend::server("127.0.0.1", server.port()).with_tls(tls).connect();
    let authority = || Tls::new().with_authorities(read("ca.pem"));
    let backend = with(authority().with_client(read("client.pem"), read("client.key"))).await.unwrap();
    granted(&backend, &request("k", LONG)).await;
    // The server's authority isn't one that the system trusts.
    let untrusted = with(Tls::new().with_client(read("client.pem"), read("client.key"))).await.unwrap_err();
    refuses(&untrusted, ErrorKind::Unavailable);
    assert!(!untrusted.is_transient() && untrusted.to_string().contains("ca="), "{untrusted}");
    // The server wants to see a certificate.
    with(authority()).await.unwrap_err();
    // No TLS on that port at all.
    with(Tls::new().with_authorities("nonsense")).await.unwrap_err();
}

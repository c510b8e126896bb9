//! Passwords: who isn't let in is told so, without the password.

use std::error::Error as _;

use lock_core::{BackendError, ErrorKind};
use lock_redis::{RedisBackend, RedisBuilder};
use testbed::redis::RedisServer;

use crate::support::{LONG, granted, request};

fn at(server: &RedisServer) -> RedisBuilder {
    RedisBackend::server("127.0.0.1", server.port())
}

pub(crate) fn refuses(error: &BackendError, kind: ErrorKind) {
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

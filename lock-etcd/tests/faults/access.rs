//! TLS, client certificates, users, and what is said when they don't fit.

use std::fs;
use std::sync::Arc;

use lock_core::{ErrorKind, LockAdmin, LockBackend, Release, Severity};
use lock_etcd::{EtcdBackend, EtcdBackendBuilder};
use testbed::etcd::{Certificates, Etcd, EtcdOptions};
use tokio::time::{sleep, timeout};

use crate::support::{granted, request, seconds};

async fn works(builder: EtcdBackendBuilder) {
    let client = builder.build().unwrap();
    let request = request("tried", 60);
    granted(&client, &request).await;
    assert_eq!(client.release(&request.claim()).await.unwrap(), Release::Released);
}

async fn refused(builder: EtcdBackendBuilder) -> lock_core::BackendError {
    builder.build().unwrap().try_acquire(&request("tried", 60)).await.unwrap_err()
}

fn tls(server: &Etcd, certificates: &Certificates) -> EtcdBackendBuilder {
    EtcdBackend::builder(server.endpoints()).with_ca(fs::read(certificates.ca()).unwrap())
}

#[tokio::test]
async fn tls_connects_to_whom_it_trusts() {
    let (certificates, strangers) =
        (Arc::new(Certificates::make("client").unwrap()), Certificates::make("client").unwrap());
    let server = EtcdOptions::default().with_tls(certificates.clone()).start().unwrap();
    works(tls(&server, &certificates)).await;
    let error = refused(tls(&server, &strangers)).await;
    assert_eq!(error.kind(), ErrorKind::InvalidConfiguration, "{error}");
    assert!(!error.is_transient() && error.to_string().contains("certificate"), "{error}");
    let error = refused(EtcdBackend::builder(server.endpoints()).with_tls()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidConfiguration, "not an authority of this system: {error}");
}

#[tokio::test]
async fn mutual_tls_shows_a_certificate() {
    let certificates = Arc::new(Certificates::make("client").unwrap());
    let server = EtcdOptions::default().with_tls(certificates.clone()).with_client_certificates().start().unwrap();
    let (certificate, key) = certificates.client();
    let identity = (fs::read(certificate).unwrap(), fs::read(key).unwrap());
    works(tls(&server, &certificates).with_identity(identity.0, identity.1)).await;
    let error = refused(tls(&server, &certificates)).await;
    assert!(!error.to_string().is_empty());
    assert_ne!(error.kind(), ErrorKind::Protocol, "{error}");
}

/// A server with a root user, and a user who may use one prefix.
fn with_users(options: EtcdOptions) -> Etcd {
    let server = options.start().unwrap();
    let ctl = server.ctl().unwrap();
    for command in [
        vec!["user", "add", "root:rootpw"],
        vec!["user", "grant-role", "root", "root"],
        vec!["role", "add", "locks"],
        vec!["role", "grant-permission", "locks", "--prefix=true", "readwrite", "app/"],
        vec!["user", "add", "app:s3cret"],
        vec!["user", "grant-role", "app", "locks"],
        vec!["auth", "enable"],
    ] {
        // The role "root" is made by the server itself.
        ctl.run(&command).unwrap();
    }
    server
}

#[tokio::test]
async fn user_and_password_open_the_users_prefix_and_no_other() {
    let server = with_users(EtcdOptions::default());
    let user = || EtcdBackend::builder(server.endpoints()).with_user("app", "s3cret");
    works(user().with_prefix("app/")).await;
    let findings = user().with_prefix("app/").build().unwrap().preflight().await;
    assert!(findings.iter().all(|finding| finding.severity() < Severity::Unusable), "{findings:?}");

    let cases = [
        (user().with_prefix("other/"), "not of its role"),
        (EtcdBackend::builder(server.endpoints()).with_user("app", "wr0ng").with_prefix("app/"), "wrong password"),
        (EtcdBackend::builder(server.endpoints()).with_prefix("app/"), "no user"),
    ];
    for (builder, what) in cases {
        let shown = format!("{builder:?}");
        let error = refused(builder.clone()).await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error:?}");
        assert!(!error.is_transient() && error.advice().is_some(), "{what}: {error}");
        for text in [shown, format!("{error:?} {error}")] {
            assert!(!text.contains("s3cret") && !text.contains("wr0ng"), "{text}");
        }
        let findings = builder.build().unwrap().preflight().await;
        assert!(findings.iter().any(|finding| finding.severity() == Severity::Denied), "{what}: {findings:?}");
    }
}

/// The server keeps its tokens in memory: after a restart it knows none of them.
#[tokio::test]
async fn token_that_the_server_forgot_is_renewed() {
    let mut server = with_users(EtcdOptions::default());
    let builder = EtcdBackend::builder(server.endpoints()).with_user("app", "s3cret").with_prefix("app/");
    let (locks, waiting) = (lock_core::Supervisor::new(builder.clone().build().unwrap()), builder.build().unwrap());
    let guard = locks.lock("kept").ttl(std::time::Duration::from_secs(10)).acquire().await.unwrap();
    server.restart(0).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(guard.is_held());
    // A watch, too, is opened with a new token.
    let others = lock_core::Supervisor::new(waiting);
    let next = tokio::spawn(async move { others.lock("kept").acquire().await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    guard.release().await.unwrap();
    drop(next.await.unwrap().unwrap());
}

/// Each token ends two seconds after it was given, however much it is used. The stream of watches was opened with one.
#[tokio::test]
async fn token_that_expires_is_renewed_for_calls_and_for_watches() {
    let secret = Certificates::make("client").unwrap();
    let tokens = format!("--auth-token=jwt,priv-key={},sign-method=HS256,ttl=2s", secret.server().1.display());
    let server = with_users(EtcdOptions::default().with_arguments([tokens]));
    let builder = EtcdBackend::builder(server.endpoints()).with_user("app", "s3cret").with_prefix("app/");
    let locks = lock_core::Supervisor::new(builder.build().unwrap());
    let first = locks.lock("first").ttl(seconds(60)).acquire().await.unwrap();
    // It is watched, and the token expires.
    sleep(seconds(4)).await;
    let second = locks.lock("second").ttl(seconds(60)).acquire().await.unwrap();
    sleep(seconds(2)).await;
    assert!(first.is_held() && second.is_held());
    let root = server.ctl().unwrap().with_user("root", "rootpw");
    for guard in [first, second] {
        root.run(&["del", "--prefix", &format!("app/{}/", guard.key())]).unwrap();
        timeout(seconds(5), guard.lost()).await.expect("told long before the next renewal");
    }
}

#[tokio::test]
async fn password_is_no_reason_to_refuse_a_server_that_asks_for_none() {
    let server = EtcdOptions::default().start().unwrap();
    works(EtcdBackend::builder(server.endpoints()).with_user("app", "s3cret")).await;
}

//! TLS: who is trusted, who is let in, and certificates that are replaced while the program runs.

use std::fs;

use lock_core::{ErrorKind, Renewal};
use lock_redis::{RedisBackend, Tls};
use testbed::redis::RedisTls;

use crate::access::refuses;
use crate::support::{LONG, granted, renew, request};

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

#[tokio::test]
async fn certificates_that_were_replaced_are_used_from_the_next_connection_on() {
    let server = RedisTls::start(&[]).unwrap();
    let (ca, certificate, key) = (server.file("ca.pem"), server.file("client.pem"), server.file("client.key"));
    let tls = Tls::new().with_authorities_file(&ca).with_client_files(certificate, key);
    let backend = RedisBackend::server("127.0.0.1", server.port()).with_tls(tls).connect().await.unwrap();
    let holder = request("k", LONG);
    let grant = granted(&backend, &holder).await;
    server.renew_certificates().unwrap();
    let cut = || server.server().command(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
    // While a file is away, as when it is being replaced: a renewal tries again.
    let away = ca.with_extension("away");
    fs::rename(&ca, &away).unwrap();
    assert_eq!(cut(), "1");
    let missing = loop {
        match renew(&backend, &holder, &grant).await {
            Err(error) if error.kind() == ErrorKind::InvalidConfiguration => break error,
            // The end of the connection wasn't seen before.
            Err(error) => assert!(error.is_transient(), "{error}"),
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert!(missing.is_transient() && missing.to_string().contains("ca.pem can't be read"), "{missing}");
    fs::rename(&away, &ca).unwrap();
    assert!(matches!(renew(&backend, &holder, &grant).await.unwrap(), Renewal::Renewed(_)));
    // At the beginning a file that isn't there is an error at once.
    let absent = Tls::new().with_authorities_file(away);
    let error = RedisBackend::server("127.0.0.1", server.port()).with_tls(absent).connect().await.unwrap_err();
    refuses(&error, ErrorKind::InvalidConfiguration);
    assert!(!error.is_transient(), "{error}");
}

//! ACL tokens, TLS, and addresses that are something else.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::Duration;

use lock_consul::ConsulBackend;
use lock_core::{ErrorKind, LockAdmin, LockBackend, Severity};
use testbed::consul::{Agent, Settings};
use tokio::time::Instant;

use crate::support::{agent, granted, request};

const MASTER: &str = "b19b0550-0000-4000-8000-000000000000";

/// An agent that allows nothing without a token, and listens with TLS, too.
fn guarded() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let tokens = format!(r#"{{"master": "{MASTER}", "agent": "{MASTER}"}}"#);
        let more = format!(r#""acl": {{"enabled": true, "default_policy": "deny", "tokens": {tokens}}}"#);
        Agent::dev_with(&Settings { more, token: Some(MASTER.to_owned()), tls: true, ..Settings::default() }).unwrap()
    })
}

/// A token with these rules.
fn token(rules: &str) -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!("p{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let policy = serde_json::json!({"Name": name, "Rules": rules}).to_string();
    guarded().tell("PUT", "/v1/acl/policy", &policy).unwrap();
    let made = guarded().tell("PUT", "/v1/acl/token", &format!(r#"{{"Policies":[{{"Name":"{name}"}}]}}"#)).unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    made["SecretID"].as_str().unwrap().to_owned()
}

const ENOUGH: &str = r#"session_prefix "" { policy = "write" } key_prefix "locks/" { policy = "write" }"#;

#[tokio::test]
async fn a_token_with_the_documented_rules_is_enough() {
    let backend = ConsulBackend::builder(guarded().address()).token(token(ENOUGH)).prefix("locks/").build().unwrap();
    let own = request("a");
    granted(&backend, &own).await;
    backend.release(&own.claim()).await.unwrap();
    assert!(backend.list("").await.unwrap().is_empty());
    let findings = backend.preflight().await;
    assert!(findings.iter().all(|finding| finding.severity() < Severity::Unusable), "{findings:?}");
}

#[tokio::test]
async fn without_rights_the_error_is_permanent_and_names_the_rules() {
    let secret = token(ENOUGH);
    for (prefix, given) in [("locks/", None), ("elsewhere/", Some(&secret))] {
        let mut builder = ConsulBackend::builder(guarded().address()).prefix(prefix);
        if let Some(token) = given {
            builder = builder.token(token);
        }
        let shown = format!("{builder:?}");
        let backend = builder.build().unwrap();
        let error = backend.try_acquire(&request("a")).await.unwrap_err();
        let text = format!("{error} {error:?} {shown} {backend:?}");
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::PermissionDenied, false), "{text}");
        assert!(text.contains("key_prefix") && !text.contains(&secret), "{text}");
        let findings = backend.preflight().await;
        assert!(findings.iter().any(|finding| finding.severity() == Severity::Denied), "{findings:?}");
        assert!(!format!("{findings:?}").contains(&secret));
    }
}

#[tokio::test]
async fn tls_with_an_authority_and_a_client_certificate() {
    let agent = guarded();
    let address = format!("https://localhost:{}", agent.secure_port().unwrap());
    let (authority, certificate, key) =
        (agent.file("authority.pem"), agent.file("certificate.pem"), agent.file("key.pem"));
    let secret = token(ENOUGH);
    let whole = ConsulBackend::builder(&address)
        .ca(&authority)
        .identity(&certificate, &key)
        .token(&secret)
        .prefix("locks/")
        .build()
        .unwrap();
    let own = request("tls");
    granted(&whole, &own).await;
    whole.release(&own.claim()).await.unwrap();
    // No certificate of our own, or an authority that signed nothing there.
    let nobody = ConsulBackend::builder(&address).ca(&authority).token(&secret).prefix("locks/").build().unwrap();
    let stranger = testbed::consul::Certificates::new().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), stranger.authority).unwrap();
    let distrust =
        ConsulBackend::builder(&address).ca(file.path()).identity(&certificate, &key).prefix("locks/").build().unwrap();
    for backend in [nobody, distrust] {
        let error = backend.try_acquire(&request("tls")).await.unwrap_err();
        assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    }
    // A file that is none is told before anything is sent.
    let error = ConsulBackend::builder(&address).ca(&key).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfiguration);
    assert!(error.to_string().contains("key.pem"), "{error}");
}

/// Answers every request with the same bytes.
fn answering(reply: &'static str) -> String {
    answering_by(move |_| reply)
}

fn answering_by(reply: impl Fn(&[u8]) -> &'static str + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap_or_default();
            drop(stream.write_all(reply(&bytes[..length]).as_bytes()));
        }
    });
    address
}

#[tokio::test]
async fn redirects_are_not_followed_and_strangers_are_told() {
    let elsewhere = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/v1/kv/\r\n", agent().address());
    let elsewhere: &'static str = Box::leak(format!("{elsewhere}Content-Length: 0\r\n\r\n").into_boxed_str());
    for (reply, kind) in [
        (elsewhere, ErrorKind::InvalidConfiguration),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", ErrorKind::Protocol),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", ErrorKind::Protocol),
        ("HTTP/1.1 500 Error\r\nContent-Length: 17\r\n\r\nNo cluster leader", ErrorKind::Unavailable),
        ("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", ErrorKind::Unavailable),
    ] {
        let backend = ConsulBackend::new(answering(reply)).unwrap();
        let error = backend.try_acquire(&request("a")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{reply}: {error}");
        assert_eq!(error.is_transient(), kind == ErrorKind::Unavailable, "{error}");
    }
}

/// Locks that weren't read are none that are free.
#[tokio::test]
async fn a_list_that_is_refused_is_an_error() {
    let names = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n[\"a/.lock\"]";
    let refused = "HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 44\r\n\r\n\
        {\"Errors\":[{\"OpIndex\":0,\"What\":\"no exist\"}]}";
    let reply = move |request: &[u8]| if request.starts_with(b"GET") { names } else { refused };
    let backend = ConsulBackend::new(answering_by(reply)).unwrap();
    let error = backend.list("").await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true), "{error}");
}

/// A proxy before the agent that has lost its way: not known is not lost.
#[tokio::test]
async fn a_page_that_is_missing_is_no_loss() {
    let store = crate::support::Store::new();
    let backend = store.through_proxy();
    let own = request("a");
    let grant = granted(&backend, &own).await;
    let lost = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nConnection: close\r\n\r\nNot Found");
    store.proxy.lead_to(lost.strip_prefix("http://").unwrap().parse().unwrap());
    store.proxy.cut();
    let lease = lock_core::Lease::new(own.claim(), grant.token(), own.ttl());
    // The first may fail on a connection that was cut.
    let mut told = String::new();
    for _ in 0..3 {
        told += &backend.renew(&lease).await.unwrap_err().to_string();
    }
    assert!(told.contains("404"), "{told}");
    store.proxy.lead_to(([127, 0, 0, 1], agent().port()).into());
    store.proxy.cut();
    assert!(matches!(backend.renew(&lease).await.unwrap(), lock_core::Renewal::Renewed(_)));
}

#[tokio::test]
async fn preflight_of_a_silent_agent_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let backend = ConsulBackend::builder(address).call_limit(Duration::from_millis(200)).build().unwrap();
    let began = Instant::now();
    let findings = backend.preflight().await;
    assert!(findings.iter().any(|finding| finding.severity() == Severity::Unusable), "{findings:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

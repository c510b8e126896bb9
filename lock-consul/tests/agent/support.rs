//! What the tests share: one agent, a prefix for each test, and a look behind the backend's back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lock_consul::{ConsulBackend, ConsulBackendBuilder};
use lock_core::{AcquireRequest, Attempt, Contention, Grant, LockBackend, LockKey, Supervisor, Ttl};
use testbed::consul::Agent;
use testbed::proxy::Proxy;
use tokio::time::{Instant, sleep};

pub(crate) const TTL: Duration = Duration::from_secs(10);

/// The agent that all tests share but those that harm it.
pub(crate) fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| Agent::dev().expect("a consul agent"))
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test{}/", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A store of one test: the way to the agent directly, and through a proxy.
pub(crate) struct Store {
    pub(crate) prefix: String,
    pub(crate) proxy: Proxy,
}

impl Store {
    pub(crate) fn new() -> Self {
        let agent: SocketAddr = ([127, 0, 0, 1], agent().port()).into();
        Self { prefix: prefix(), proxy: Proxy::to(agent) }
    }

    /// A client that the proxy can't harm.
    pub(crate) fn direct(&self) -> ConsulBackend {
        self.settings(agent().address()).build().unwrap()
    }

    pub(crate) fn through_proxy(&self) -> ConsulBackend {
        self.settings_through_proxy().build().unwrap()
    }

    pub(crate) fn settings_through_proxy(&self) -> ConsulBackendBuilder {
        self.settings(format!("http://{}", self.proxy.address()))
    }

    fn settings(&self, address: String) -> ConsulBackendBuilder {
        ConsulBackend::builder(address).prefix(&self.prefix).lock_delay(Duration::ZERO)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The lock's key as the store has it.
    pub(crate) fn lock(&self, name: &str) -> Option<serde_json::Value> {
        self.entry(&format!("{name}/.lock"))
    }

    pub(crate) fn entry(&self, path: &str) -> Option<serde_json::Value> {
        let path = self.path(path).replace('%', "%25");
        let answer = agent().ask("GET", &format!("/v1/kv/{path}?consistent"), "").unwrap();
        let found: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
        Some(found[0].clone())
    }

    /// The session that holds the lock.
    pub(crate) fn session(&self, name: &str) -> Option<String> {
        Some(self.lock(name)?["Session"].as_str()?.to_owned())
    }

    /// Every key of this store.
    pub(crate) fn keys(&self) -> Vec<String> {
        let answer = agent().ask("GET", &format!("/v1/kv/{}?keys", self.prefix), "").unwrap();
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    pub(crate) async fn until_free(&self, name: &str, within: Duration) {
        let end = Instant::now() + within;
        while let Some(session) = self.session(name) {
            assert!(Instant::now() < end, "still held by {session} after {within:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn destroy(session: &str) {
    destroy_at(agent(), session);
}

pub(crate) fn destroy_at(agent: &Agent, session: &str) {
    agent.tell("PUT", &format!("/v1/session/destroy/{session}"), "").unwrap();
}

pub(crate) fn request(name: &str) -> AcquireRequest {
    AcquireRequest::new(LockKey::new(name).unwrap(), Ttl::new(TTL).unwrap())
}

pub(crate) fn supervisor(backend: ConsulBackend) -> Supervisor {
    Supervisor::builder(Arc::new(backend)).build()
}

pub(crate) async fn granted(backend: &ConsulBackend, request: &AcquireRequest) -> Grant {
    match backend.try_acquire(request).await.unwrap() {
        Attempt::Granted(grant) => grant,
        Attempt::Held(by) => panic!("held by {}", by.record()),
    }
}

pub(crate) async fn refused(backend: &ConsulBackend, request: &AcquireRequest) -> Contention {
    match backend.try_acquire(request).await.unwrap() {
        Attempt::Held(by) => by,
        Attempt::Granted(grant) => panic!("granted with token {}", grant.token()),
    }
}

/// Tries and waits in turn, as the supervisor does.
pub(crate) async fn acquire(backend: &ConsulBackend, request: &AcquireRequest) -> Grant {
    loop {
        match backend.try_acquire(request).await.unwrap() {
            Attempt::Granted(grant) => return grant,
            Attempt::Held(seen) => backend.wait(request, &seen).await.unwrap(),
        }
    }
}

pub(crate) async fn until_waiting(backend: &ConsulBackend, name: &str, count: u64) {
    for _ in 0..500 {
        if refused(backend, &request(name)).await.waiters() == Some(count) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("not {count} waiters");
}

//! What the tests stand on: a server that they share, each with its own prefix, and a proxy in front of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::{AcquireRequest, Attempt, Grant, LockBackend, LockKey, Supervisor, Ttl};
use lock_etcd::EtcdBackend;
use testbed::etcd::{Etcd, EtcdOptions, Etcdctl};
use testbed::proxy::Proxy;

/// A server, and a prefix in it that no other test has.
pub(crate) struct Bed {
    pub(crate) server: Arc<Etcd>,
    pub(crate) prefix: String,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self { server: Etcd::shared().unwrap(), prefix: unique() }
    }

    pub(crate) fn proxy(&self) -> Proxy {
        Proxy::to(SocketAddr::from((Ipv4Addr::LOCALHOST, self.server.port(0))))
    }

    /// A client with a way of its own to the server.
    pub(crate) fn client(&self) -> EtcdBackend {
        EtcdBackend::builder(self.server.endpoints()).with_prefix(&self.prefix).build().unwrap()
    }

    /// A client whose way leads through the proxy.
    pub(crate) fn behind(&self, proxy: &Proxy) -> EtcdBackend {
        EtcdBackend::builder([proxy.address().to_string()]).with_prefix(&self.prefix).build().unwrap()
    }

    pub(crate) fn locks(&self) -> Supervisor {
        Supervisor::new(self.client())
    }

    pub(crate) fn ctl(&self) -> Etcdctl {
        self.server.ctl().unwrap()
    }

    /// The keys of one lock, in the order in which they were created.
    pub(crate) fn queue(&self, name: &str) -> Vec<String> {
        let range = format!("{}{name}/", self.prefix);
        let text = self.ctl().run(&["get", "--prefix", &range, "--keys-only", "--sort-by=CREATE"]).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// A server of its own that is soon out of space.
    pub(crate) fn of_little_space() -> Self {
        let server = EtcdOptions::default().with_arguments(["--quota-backend-bytes=300000"]).start().unwrap();
        Self { server: Arc::new(server), prefix: unique() }
    }

    /// Raises the alarm NOSPACE.
    pub(crate) fn fill(&self) {
        let big = "x".repeat(100_000);
        let full = (0..100).any(|n| self.ctl().run(&["put", &format!("fill/{n}"), &big]).is_err());
        assert!(full, "the quota is reached");
    }

    /// Ends the lease of the place with this number in the queue.
    pub(crate) fn revoke(&self, name: &str, number: usize) {
        let key = self.queue(name).swap_remove(number);
        let lease = key.rsplit('/').next().unwrap().to_owned();
        self.ctl().run(&["lease", "revoke", &lease]).unwrap();
    }
}

/// A prefix that nothing else has.
pub(crate) fn unique() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("faults/{}/{}/", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn request(name: &str, ttl: u64) -> AcquireRequest {
    AcquireRequest::new(LockKey::new(name).unwrap(), Ttl::new(seconds(ttl)).unwrap())
}

pub(crate) async fn granted(client: &EtcdBackend, request: &AcquireRequest) -> Grant {
    match client.try_acquire(request).await.unwrap() {
        Attempt::Granted(grant) => grant,
        Attempt::Held(by) => panic!("\"{}\" should be granted, but is held by {}", request.key(), by.record()),
    }
}

pub(crate) async fn is_held(client: &EtcdBackend, name: &str) -> bool {
    matches!(client.try_acquire(&request(name, 60)).await.unwrap(), Attempt::Held(_))
}

/// Waits until a condition holds, for ten seconds at most.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds: {what}");
}

/// A waiter in a task: tries and waits in turn until it is granted the lock or an error comes.
pub(crate) fn waiter(
    client: &Arc<EtcdBackend>,
    request: &AcquireRequest,
) -> tokio::task::JoinHandle<Result<Grant, lock_core::BackendError>> {
    let (client, request) = (client.clone(), request.clone());
    tokio::spawn(async move {
        loop {
            match client.try_acquire(&request).await? {
                Attempt::Granted(grant) => return Ok(grant),
                Attempt::Held(seen) => client.wait(&request, &seen).await?,
            }
        }
    })
}

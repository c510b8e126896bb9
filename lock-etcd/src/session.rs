//! The connections of one runtime: a client for each endpoint, and the streams that all its locks share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, Error, KvClient, LeaseClient, WatchClient};
use lock_core::{BackendError, Operation, Outcome};
use tokio::time::timeout;

use crate::builder::EtcdBackendBuilder;
use crate::check::Checks;
use crate::error::{self, Failed};
use crate::keep_alive::KeepAlives;
use crate::watch::Watches;

/// Connections belong to the runtime on which they were made, and end with it. So each runtime that calls the backend
/// has its own: the heartbeat on a dedicated thread doesn't depend on a runtime that is blocked.
pub(crate) struct Session {
    pub(crate) settings: Arc<EtcdBackendBuilder>,
    links: Vec<Slot>,
    /// The endpoint that is asked first. The driver's own balancer doesn't skip dead ones.
    current: AtomicUsize,
    pub(crate) keep_alives: KeepAlives,
    pub(crate) watches: Watches,
    pub(crate) checks: Checks,
}

/// The connection to one endpoint, if there is one.
#[derive(Default)]
struct Slot {
    link: Mutex<Option<Link>>,
    connecting: tokio::sync::Mutex<()>,
}

/// One endpoint's client, taken apart: cloning the parts is cheaper than cloning the whole.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) kv: KvClient,
    pub(crate) lease: LeaseClient,
    pub(crate) watch: WatchClient,
    /// A user is named, and this server asks for none.
    pub(crate) ignores_user: bool,
}

/// An answer, and whether an earlier try of the same request may have been applied, too.
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) tried_before: bool,
}

impl Session {
    pub(crate) fn new(settings: Arc<EtcdBackendBuilder>) -> Self {
        Self {
            links: settings.endpoints.iter().map(|_| Slot::default()).collect(),
            settings,
            current: AtomicUsize::new(0),
            keep_alives: KeepAlives::default(),
            watches: Watches::default(),
            checks: Checks::default(),
        }
    }

    pub(crate) fn endpoints(&self) -> usize {
        self.links.len()
    }

    pub(crate) fn limit(&self) -> Duration {
        self.settings.limit()
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        &self.settings.endpoints[index]
    }

    /// Asks the current endpoint, and the others in turn where that can help. Each has the same limit.
    ///
    /// Every request of this backend may be sent twice: what it did the first time, it finds done.
    pub(crate) async fn call<T, F>(
        &self,
        operation: Operation,
        request: impl Fn(Link) -> F,
    ) -> Result<Answer<T>, Failed>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tried_before = false;
        let mut tries = 0;
        loop {
            let index = self.index();
            let failed = match self.ask(index, operation, &request).await {
                Ok(value) => return Ok(Answer { value, tried_before }),
                Err(failed) => failed,
            };
            tries += 1;
            let helps = error::another_may_help(&failed);
            if helps {
                self.move_on(index);
            }
            if !helps || tries >= self.endpoints() {
                return Err(with_outcome(failed, tried_before));
            }
            tried_before |= matches!(&failed, Failed::Other(error) if error.outcome() == Outcome::Unknown);
        }
    }

    /// Asks one endpoint.
    pub(crate) async fn ask<T, F>(
        &self,
        index: usize,
        operation: Operation,
        request: &impl Fn(Link) -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let asking = async {
            let link = self.link(index, operation).await?;
            // The driver's futures are large; all of ours that wait for one would be as well.
            Box::pin(request(link)).await.map_err(|error| error::failed(operation, self.name(index), error))
        };
        let limit = self.limit();
        timeout(limit, asking).await.unwrap_or_else(|_| {
            self.distrust(index);
            Err(Failed::Other(error::timed_out(operation, self.name(index), limit)))
        })
    }

    /// An answer didn't come in time: perhaps the connection is dead, and nobody was told (a firewall forgot it). The
    /// next request makes a new one, and so does each stream.
    pub(crate) fn distrust(&self, index: usize) {
        let link = self.slot(index).take();
        drop(link);
        self.keep_alives.close_to(index);
        self.watches.close_to(index);
    }

    /// The endpoint to ask first.
    pub(crate) fn index(&self) -> usize {
        self.current.load(Ordering::Relaxed) % self.endpoints()
    }

    /// The endpoint `index` failed: the next one's turn, unless somebody else has moved on already.
    pub(crate) fn move_on(&self, index: usize) {
        let next = (index + 1) % self.endpoints();
        if self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() && next != index {
            tracing::debug!(from = self.name(index), to = self.name(next), "another etcd endpoint is asked");
        }
    }

    /// The client of an endpoint, made when it is first needed.
    pub(crate) async fn link(&self, index: usize, operation: Operation) -> Result<Link, Failed> {
        if let Some(link) = &*self.slot(index) {
            return Ok(link.clone());
        }
        let _connecting = self.links[index].connecting.lock().await;
        if let Some(link) = &*self.slot(index) {
            return Ok(link.clone());
        }
        let link = Box::pin(self.connect(index, operation)).await?;
        *self.slot(index) = Some(link.clone());
        Ok(link)
    }

    fn slot(&self, index: usize) -> MutexGuard<'_, Option<Link>> {
        self.links[index].link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, index: usize, operation: Operation) -> Result<Link, Failed> {
        let endpoint = self.settings.endpoint(self.name(index)).map_err(Failed::Other)?;
        let channel = Channel::Tonic(endpoint.connect_lazy());
        // A stream to a member that lost its leader ends instead of being silent for ever.
        let options = ConnectOptions::new().with_require_leader(true);
        let with_user = match &self.settings.user {
            Some((name, password)) => options.clone().with_user(name, password).with_auto_token_refresh(true),
            None => options.clone(),
        };
        let (client, ignores_user) = match Client::from_channel(channel.clone(), Some(with_user)).await {
            // As etcdctl does: a password is no reason to refuse a server that asks for none.
            Err(Error::GRpcStatus(status)) if status.message().contains("authentication is not enabled") => {
                (Client::from_channel(channel, Some(options)).await, true)
            }
            result => (result, false),
        };
        let client = client.map_err(|error| error::failed(operation, self.name(index), error))?;
        let (kv, lease, watch) = (client.kv_client(), client.lease_client(), client.watch_client());
        Ok(Link { client, kv, lease, watch, ignores_user })
    }
}

/// The last try's error, which must also say what became of those before.
fn with_outcome(failed: Failed, tried_before: bool) -> Failed {
    match failed {
        Failed::Other(error) if tried_before => Failed::Other(error.with_outcome(Outcome::Unknown)),
        Failed::NoLease { .. } => Failed::NoLease { tried_before },
        failed => failed,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for index in 0..self.endpoints() {
            self.keep_alives.close_to(index);
            self.watches.close_to(index);
        }
    }
}

/// What ends a call for good, in the words of the operation.
pub(crate) trait IntoError<T> {
    fn or_error(self, operation: Operation) -> Result<T, BackendError>;
}

impl<T> IntoError<T> for Result<T, Failed> {
    fn or_error(self, operation: Operation) -> Result<T, BackendError> {
        self.map_err(|failed| failed.into_error(operation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_is_gone_does_not_make_an_earlier_try_known() {
        let failed = with_outcome(Failed::NoLease { tried_before: false }, true);
        assert!(matches!(failed, Failed::NoLease { tried_before: true }), "{failed:?}");
    }
}

//! Streams that all locks of a runtime share: each is opened when it is first needed, and anew after it broke.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::Operation;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::error::Failed;
use crate::session::{Link, Session};

/// A stream to one endpoint. A task sends what is asked for, and tells the answers to who listens.
pub(crate) struct Stream<Request, Listeners> {
    pub(crate) endpoint: usize,
    pub(crate) send: mpsc::UnboundedSender<Request>,
    pub(crate) listeners: Listeners,
    /// When it ends, however it does, all who listen are told.
    pub(crate) task: AbortHandle,
}

/// Where the stream is, if there is one.
pub(crate) struct Slot<Request, Listeners>(Mutex<Option<Arc<Stream<Request, Listeners>>>>);

impl<Request, Listeners> Slot<Request, Listeners> {
    /// The stream to the endpoint that is asked first.
    pub(crate) async fn get(
        &self,
        session: &Session,
        operation: Operation,
        open: fn(usize, Link) -> Stream<Request, Listeners>,
    ) -> Result<Arc<Stream<Request, Listeners>>, Failed> {
        let endpoint = session.index();
        if let Some(stream) = usable(self.lock().as_ref(), endpoint) {
            return Ok(stream);
        }
        // Seldom, and much larger than the rest: on its own, so that each renewal needn't bear it.
        let link = Box::pin(session.link(endpoint, operation)).await?;
        Ok(self.get_or_open(endpoint, || open(endpoint, link)))
    }

    /// Looks and opens under one lock: of two that need a stream at once, none ends the one that the other just opened.
    fn get_or_open(
        &self,
        endpoint: usize,
        open: impl FnOnce() -> Stream<Request, Listeners>,
    ) -> Arc<Stream<Request, Listeners>> {
        let mut current = self.lock();
        if let Some(stream) = usable(current.as_ref(), endpoint) {
            return stream;
        }
        let stream = Arc::new(open());
        if let Some(old) = current.replace(stream.clone()) {
            old.task.abort();
        }
        stream
    }

    /// A stream that failed somebody serves nobody any more.
    pub(crate) fn forget(&self, stream: &Arc<Stream<Request, Listeners>>) {
        self.end_if(|current| Arc::ptr_eq(current, stream));
    }

    /// Ends the stream if it leads to this endpoint.
    pub(crate) fn close_to(&self, endpoint: usize) {
        self.end_if(|current| current.endpoint == endpoint);
    }

    fn end_if(&self, is_it: impl FnOnce(&Arc<Stream<Request, Listeners>>) -> bool) {
        let ended = self.lock().take_if(|current| is_it(current));
        if let Some(stream) = ended {
            stream.task.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Stream<Request, Listeners>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Request, Listeners> Default for Slot<Request, Listeners> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

fn usable<Request, Listeners>(
    current: Option<&Arc<Stream<Request, Listeners>>>,
    endpoint: usize,
) -> Option<Arc<Stream<Request, Listeners>>> {
    current.filter(|stream| stream.endpoint == endpoint && !stream.send.is_closed()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks of several threads need a stream at the same moment: the server is asked for one, and nobody's is ended.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn those_that_need_a_stream_at_once_share_one() {
        for _ in 0..200 {
            let slot = Arc::new(Slot::<(), ()>::default());
            let start = Arc::new(std::sync::Barrier::new(2));
            let needs = || {
                let (slot, start) = (slot.clone(), start.clone());
                tokio::task::spawn_blocking(move || {
                    start.wait();
                    slot.get_or_open(0, || {
                        let (send, mut requests) = mpsc::unbounded_channel();
                        let task = tokio::spawn(async move { while requests.recv().await.is_some() {} });
                        Stream { endpoint: 0, send, listeners: (), task: task.abort_handle() }
                    })
                })
            };
            let (one, other) = (needs(), needs());
            assert!(Arc::ptr_eq(&one.await.unwrap(), &other.await.unwrap()));
        }
    }
}

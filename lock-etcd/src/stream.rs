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
        if let Some(stream) = self.usable(endpoint) {
            return Ok(stream);
        }
        // Seldom, and much larger than the rest: on its own, so that each renewal needn't bear it.
        let link = Box::pin(session.link(endpoint, operation)).await?;
        // Another was quicker.
        if let Some(stream) = self.usable(endpoint) {
            return Ok(stream);
        }
        let stream = Arc::new(open(endpoint, link));
        if let Some(old) = self.lock().replace(stream.clone()) {
            old.task.abort();
        }
        Ok(stream)
    }

    /// A stream that failed somebody serves nobody any more.
    pub(crate) fn forget(&self, stream: &Arc<Stream<Request, Listeners>>) {
        self.end_if(|current| Arc::ptr_eq(current, stream));
    }

    /// Ends the stream if it leads to this endpoint.
    pub(crate) fn close_to(&self, endpoint: usize) {
        self.end_if(|current| current.endpoint == endpoint);
    }

    fn usable(&self, endpoint: usize) -> Option<Arc<Stream<Request, Listeners>>> {
        self.lock().as_ref().filter(|stream| stream.endpoint == endpoint && !stream.send.is_closed()).cloned()
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

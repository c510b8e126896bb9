//! Watching keys: any number of them over one stream.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use etcd_client::{Error, WatchFilterType, WatchOptions, WatchRequestSender, WatchResponseStream};
use lock_core::Operation;
use tokio::sync::mpsc;

use crate::error::Failed;
use crate::news::{Listener, Listeners, News, lock, take_in};
use crate::session::{Link, Session};
use crate::stream::{Slot, Stream};

/// One stream for all watches of a runtime, opened when the first is needed, and anew after it broke.
#[derive(Default)]
pub(crate) struct Watches {
    stream: Slot<Request, Listeners>,
    /// Ids are ours, so that an answer needs no order to be understood. Zero lets the server choose.
    last_id: AtomicI64,
}

pub(crate) type WatchStream = Arc<Stream<Request, Listeners>>;

pub(crate) enum Request {
    Watch(i64, Vec<u8>, Of),
    Cancel(i64),
}

/// What of a key is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Deletions,
    /// Also what is put.
    All,
}

/// A watch; it ends when this is dropped.
pub(crate) struct Watching {
    id: i64,
    stream: Weak<Stream<Request, Listeners>>,
}

impl Watches {
    /// What watches are begun on.
    pub(crate) async fn stream(&self, session: &Session, operation: Operation) -> Result<WatchStream, Failed> {
        self.stream.get(session, operation, open).await
    }

    /// Watches a key. No start revision is given: a watch that begins in the past is served by the
    /// server's slow loop, every 100 ms. So what happened before [`News::Live`] must be read.
    ///
    /// It waits for nothing and calls nobody, so that it can be noted under a lock which the listener takes as well: news
    /// can't come before it is noted. `None` when the stream has ended.
    pub(crate) fn begin(&self, stream: &WatchStream, key: Vec<u8>, of: Of, listener: Listener) -> Option<Watching> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&stream.listeners).insert(id, listener);
        let watching = Watching { id, stream: Arc::downgrade(stream) };
        if stream.send.send(Request::Watch(id, key, of)).is_ok() {
            return Some(watching);
        }
        // Unless its end is being told just now: then that comes to nothing.
        drop(watching);
        None
    }

    /// Ends the stream if it leads to this endpoint.
    pub(crate) fn close_to(&self, endpoint: usize) {
        self.stream.close_to(endpoint);
    }
}

fn open(endpoint: usize, link: Link) -> Stream<Request, Listeners> {
    let (send, requests) = mpsc::unbounded_channel();
    let listeners = Listeners::default();
    let task =
        tokio::spawn(run(endpoint, link, Inbox { requests, listeners: OnEnd(listeners.clone()) })).abort_handle();
    Stream { endpoint, send, listeners, task }
}

impl Watching {
    /// The endpoint that it leads to, unless its stream has ended.
    pub(crate) fn endpoint(&self) -> Option<usize> {
        self.stream.upgrade().map(|stream| stream.endpoint)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let Some(stream) = self.stream.upgrade() else { return };
        if lock(&stream.listeners).remove(&self.id).is_some() {
            // A stream that ended has no watches.
            drop(stream.send.send(Request::Cancel(self.id)));
        }
    }
}

/// Dropped in this order: nobody can ask for a watch any more when the listeners are told of the end, and so nobody is
/// forgotten who asks just then.
struct Inbox {
    requests: mpsc::UnboundedReceiver<Request>,
    listeners: OnEnd,
}

/// Tells all listeners of the end, however the stream's task ends.
struct OnEnd(Listeners);

impl OnEnd {
    fn tell(&self, why: &Arc<str>) {
        // Outside of the lock: a listener may begin another watch.
        let listeners = std::mem::take(&mut *lock(&self.0));
        for listener in listeners.into_values() {
            listener(News::Broken(why.clone()));
        }
    }
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.tell(&"the stream of watches ended".into());
    }
}

async fn run(endpoint: usize, mut link: Link, mut inbox: Inbox) {
    let Inbox { requests, listeners } = &mut inbox;
    let end = match begin(&mut link, requests).await {
        Ok(Some((sender, responses))) => tokio::select! {
            end = read(endpoint, responses, &listeners.0) => end,
            end = write(sender, requests) => end,
        },
        Ok(None) => return,
        Err(error) => error,
    };
    requests.close();
    tracing::debug!(error = %end, "the stream of watches ended");
    listeners.tell(&end.to_string().into());
}

async fn begin(
    link: &mut Link,
    requests: &mut mpsc::UnboundedReceiver<Request>,
) -> Result<Option<(WatchRequestSender, WatchResponseStream)>, Error> {
    while let Some(request) = requests.recv().await {
        if let Request::Watch(id, key, of) = request {
            // A watch doesn't tell an expired token from a missing permission, so it always gets a fresh one.
            link.client.refresh_token().await?;
            return Ok(Some(link.watch.watch(key, Some(options(id, of))).await?.split()));
        }
    }
    Ok(None)
}

fn options(id: i64, of: Of) -> WatchOptions {
    let options = WatchOptions::new().with_watch_id(id);
    if of == Of::All { options } else { options.with_filters([WatchFilterType::NoPut]) }
}

async fn write(mut sender: WatchRequestSender, requests: &mut mpsc::UnboundedReceiver<Request>) -> Error {
    while let Some(request) = requests.recv().await {
        let sent = match request {
            Request::Watch(id, key, of) => sender.watch(key, Some(options(id, of))).await,
            Request::Cancel(id) => sender.cancel(id).await,
        };
        if let Err(error) = sent {
            return error;
        }
    }
    Error::WatchError("nobody needs it any more".to_owned())
}

async fn read(endpoint: usize, mut responses: WatchResponseStream, listeners: &Listeners) -> Error {
    loop {
        match responses.message().await {
            Ok(Some(response)) => {
                if let Some(end) = take_in(endpoint, &response, listeners) {
                    return end;
                }
            }
            Ok(None) => return Error::WatchError("the server ended the stream of watches".to_owned()),
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Else a watch that is asked for just then is neither served nor told of the end.
    #[tokio::test]
    async fn stream_that_ends_takes_no_more_watches_when_it_tells_so() {
        let (send, requests) = mpsc::unbounded_channel();
        let (listeners, was_closed) = (Listeners::default(), Arc::new(AtomicBool::new(false)));
        let (asks, notes) = (send.clone(), was_closed.clone());
        let listener = move |_| notes.store(asks.is_closed(), Ordering::Relaxed);
        lock(&listeners).insert(1, Arc::new(listener));
        drop(Inbox { requests, listeners: OnEnd(listeners.clone()) });
        assert!(was_closed.load(Ordering::Relaxed));
        let task = tokio::spawn(async {}).abort_handle();
        let stream = Arc::new(Stream { endpoint: 0, send, listeners: listeners.clone(), task });
        let begun = Watches::default().begin(&stream, b"key".to_vec(), Of::All, Arc::new(|_| {}));
        assert!(begun.is_none() && lock(&listeners).is_empty());
    }
}

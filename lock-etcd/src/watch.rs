//! Watching keys: any number of them over one stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use etcd_client::{
    Error, Event, EventType, KeyValue, WatchFilterType, WatchOptions, WatchRequestSender, WatchResponse,
    WatchResponseStream,
};
use lock_core::Operation;
use tokio::sync::mpsc;

use crate::error::Failed;
use crate::session::{Link, Session};
use crate::stream::{Slot, Stream};

/// What a watch tells.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// From now on a deletion will be told. Whatever was before must be read.
    Live,
    /// The key was deleted.
    Deleted(Deletion),
    /// The key was put again. Only told of where it is asked for.
    Touched(Touch),
    /// The watch is over: the stream broke, or the server ended it. Says why.
    Broken(Arc<str>),
}

/// The revision of a deletion, and the endpoint behind which it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub(crate) revision: i64,
    pub(crate) endpoint: usize,
}

/// The revision of a put, and the one that created its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) revision: i64,
    pub(crate) created: i64,
}

/// Who hears of it. Called on the stream's task: must be quick.
pub(crate) type Listener = Arc<dyn Fn(News) + Send + Sync>;

/// One stream for all watches of a runtime, opened when the first is needed, and anew after it broke.
#[derive(Default)]
pub(crate) struct Watches {
    stream: Slot<Request, Listeners>,
    /// Ids are ours, so that an answer needs no order to be understood. Zero lets the server choose.
    last_id: AtomicI64,
}

type Listeners = Arc<Mutex<HashMap<i64, Listener>>>;

enum Request {
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
    /// Watches a key. No start revision is given: a watch that begins in the past is served by the
    /// server's slow loop, every 100 ms. So what happened before [`News::Live`] must be read.
    pub(crate) async fn watch(
        &self,
        session: &Session,
        operation: Operation,
        key: Vec<u8>,
        of: Of,
        listener: Listener,
    ) -> Result<Watching, Failed> {
        let stream = self.stream.get(session, operation, open).await?;
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&stream.listeners).insert(id, listener.clone());
        if stream.send.send(Request::Watch(id, key, of)).is_err() && lock(&stream.listeners).remove(&id).is_some() {
            listener(News::Broken("the stream of watches ended".into()));
        }
        Ok(Watching { id, stream: Arc::downgrade(&stream) })
    }

    /// Ends the stream if it leads to this endpoint.
    pub(crate) fn close_to(&self, endpoint: usize) {
        self.stream.close_to(endpoint);
    }
}

fn open(endpoint: usize, link: Link) -> Stream<Request, Listeners> {
    let (send, requests) = mpsc::unbounded_channel();
    let listeners = Listeners::default();
    let task = tokio::spawn(run(endpoint, link, requests, OnEnd(listeners.clone()))).abort_handle();
    Stream { endpoint, send, listeners, task }
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

async fn run(endpoint: usize, mut link: Link, mut requests: mpsc::UnboundedReceiver<Request>, listeners: OnEnd) {
    let end = match begin(&mut link, &mut requests).await {
        Ok(Some((sender, responses))) => tokio::select! {
            end = read(endpoint, responses, &listeners.0) => end,
            end = write(sender, &mut requests) => end,
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

/// Passes a response on to who it is for. An error where the whole stream must begin anew.
fn take_in(endpoint: usize, response: &WatchResponse, listeners: &Listeners) -> Option<Error> {
    let id = response.watch_id();
    if response.canceled() {
        // Also the answer to a cancellation of ours; then nobody listens any more.
        let listener = lock(listeners).remove(&id)?;
        let why = match response.compact_revision() {
            0 => response.cancel_reason().to_owned(),
            revision => format!("the watch fell behind, and its past is compacted up to revision {revision}"),
        };
        let is_refused = why.contains("permission") || why.contains("auth");
        listener(News::Broken(why.as_str().into()));
        // The token that the stream was opened with may have expired.
        return is_refused.then(|| Error::WatchError(why));
    }
    let listener = lock(listeners).get(&id).cloned()?;
    if response.created() {
        listener(News::Live);
    }
    if let Some(event) = response.events().iter().rfind(|event| event.event_type() == EventType::Delete) {
        // One that can't be told by its revision is known nowhere.
        let revision = event.kv().map_or(i64::MAX, KeyValue::mod_revision);
        listener(News::Deleted(Deletion { revision, endpoint }));
    } else if let Some(put) = response.events().last().and_then(Event::kv) {
        listener(News::Touched(Touch { revision: put.mod_revision(), created: put.create_revision() }));
    }
    None
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

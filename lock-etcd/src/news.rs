//! What watches tell, and to whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcd_client::{Error, Event, EventType, KeyValue, WatchResponse};

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

pub(crate) type Listeners = Arc<Mutex<HashMap<i64, Listener>>>;

/// Passes a response on to who it is for. An error where the whole stream must begin anew.
pub(crate) fn take_in(endpoint: usize, response: &WatchResponse, listeners: &Listeners) -> Option<Error> {
    let id = response.watch_id();
    if response.canceled() {
        if id < 0 {
            // Newer servers refuse a watch by an id that is nobody's: which of ours it was can't be told. The
            // token that the stream was opened with may have expired, or a role have changed.
            return Some(Error::WatchError(format!("a watch was refused: {}", response.cancel_reason())));
        }
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

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbWatchResponse;

    use super::*;

    /// What a listener with this id heard of a response, and whether the stream must begin anew.
    fn told(response: PbWatchResponse) -> (Vec<String>, bool) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = {
            let heard = heard.clone();
            Arc::new(move |news| lock(&heard).push(format!("{news:?}")))
        };
        let listeners = Listeners::default();
        lock(&listeners).insert(7, listener);
        let ends = take_in(0, &WatchResponse(response), &listeners).is_some();
        let heard = lock(&heard).clone();
        (heard, ends)
    }

    #[test]
    fn refused_watch_ends_the_stream_whatever_id_it_is_told_by() {
        // 3.4 answers with the watch's id, 3.5 and newer with one that is nobody's.
        for id in [7, -1] {
            let reason = "etcdserver: permission denied".to_owned();
            let refused = PbWatchResponse {
                watch_id: id,
                created: true,
                canceled: true,
                cancel_reason: reason,
                ..Default::default()
            };
            let (heard, ends) = told(refused);
            assert!(ends, "{id}: {heard:?}");
        }
    }

    #[test]
    fn compacted_watch_is_told_of_and_the_stream_goes_on() {
        let compacted = PbWatchResponse { watch_id: 7, canceled: true, compact_revision: 12, ..Default::default() };
        let (heard, ends) = told(compacted);
        assert!(!ends && heard.len() == 1 && heard[0].contains("compacted up to revision 12"), "{heard:?}");
    }
}

//! Keeping leases alive: all of a runtime's over a few streams, not one stream a lock.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Error, LeaseKeepAliveStream, LeaseKeeper};
use lock_core::{Operation, Ttl};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::error::{self, Failed};
use crate::session::{Link, Session};
use crate::stream::{Slot, Stream};

/// The server answers a stream's requests one after the other, and waits on one whose lease is just ending: a second
/// stream halves whom that delays. It costs nothing.
const STREAMS: usize = 2;

/// The streams. Requests are leases.
#[derive(Default)]
pub(crate) struct KeepAlives {
    streams: [Slot<i64, Asked>; STREAMS],
}

/// Who waits for an answer, by lease, in the order in which they asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<HashMap<i64, VecDeque<oneshot::Sender<Reply>>>>>);

/// The TTL, zero when there is no such lease; or why the stream broke.
type Reply = Result<i64, Arc<Error>>;

impl KeepAlives {
    /// Extends a lease to its TTL from now; `None` when there is no such lease.
    pub(crate) async fn renew(
        &self,
        session: &Session,
        operation: Operation,
        lease: i64,
        limit: Duration,
    ) -> Result<Option<Ttl>, Failed> {
        let mut tries = 0;
        loop {
            let slot = self.slot(lease);
            let stream = slot.get(session, operation, open).await?;
            let name = session.name(stream.endpoint);
            let failed = match timeout(limit, ask(&stream, lease)).await {
                Ok(Ok(seconds)) => return Ok(whole_seconds(seconds)),
                Ok(Err(error)) => error::failed(operation, name, shared(&error)),
                Err(_) => {
                    session.distrust(stream.endpoint);
                    Failed::Other(error::timed_out(operation, name, limit))
                }
            };
            slot.forget(&stream);
            session.move_on(stream.endpoint);
            tries += 1;
            if tries >= session.endpoints() || !error::another_may_help(&failed) {
                return Err(failed);
            }
        }
    }

    /// Ends the streams to one endpoint.
    pub(crate) fn close_to(&self, endpoint: usize) {
        self.streams.iter().for_each(|slot| slot.close_to(endpoint));
    }

    fn slot(&self, lease: i64) -> &Slot<i64, Asked> {
        &self.streams[usize::try_from(lease).unwrap_or(0) % STREAMS]
    }
}

fn open(endpoint: usize, link: Link) -> Stream<i64, Asked> {
    let (send, requests) = mpsc::unbounded_channel();
    let asked = Asked::default();
    let task = tokio::spawn(run(link, requests, OnEnd(asked.clone()))).abort_handle();
    Stream { endpoint, send, listeners: asked, task }
}

async fn ask(stream: &Stream<i64, Asked>, lease: i64) -> Reply {
    let (reply, answer) = oneshot::channel();
    stream.listeners.ask(lease, reply, &stream.send)?;
    answer.await.unwrap_or_else(|_| Err(ended()))
}

impl Asked {
    /// Sends the request in the order in which the answers are waited for.
    fn ask(
        &self,
        lease: i64,
        reply: oneshot::Sender<Reply>,
        send: &mpsc::UnboundedSender<i64>,
    ) -> Result<(), Arc<Error>> {
        let mut asked = self.lock();
        send.send(lease).map_err(|_| ended())?;
        asked.entry(lease).or_default().push_back(reply);
        Ok(())
    }

    /// The server answers a stream's requests one by one, in their order: so each answer is for who asked first. Another
    /// asked later, perhaps after the server's answer: taking it for his, he would count his lease from too late a moment.
    fn answer(&self, lease: i64, seconds: i64) {
        let mut asked = self.lock();
        let Entry::Occupied(mut waiting) = asked.entry(lease) else { return };
        // Who went away needs no answer, but it was theirs.
        waiting.get_mut().pop_front().map(|reply| reply.send(Ok(seconds)));
        if waiting.get().is_empty() {
            waiting.remove();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, VecDeque<oneshot::Sender<Reply>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all who wait that no answer will come, however the stream's task ends.
struct OnEnd(Asked);

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.0.lock().clear();
    }
}

async fn run(mut link: Link, mut requests: mpsc::UnboundedReceiver<i64>, asked: OnEnd) {
    let end = match begin(&mut link, &mut requests, &asked.0).await {
        Ok(Some((keeper, responses))) => tokio::select! {
            end = read(responses, &asked.0) => end,
            end = write(keeper, &mut requests) => end,
        },
        Ok(None) => return,
        Err(error) => error,
    };
    requests.close();
    let end = Arc::new(end);
    for (_, replies) in asked.0.lock().drain() {
        for reply in replies {
            drop(reply.send(Err(end.clone())));
        }
    }
}

/// Opens the stream. The driver can do that only with a lease that lives, and keeps the first answer to itself.
async fn begin(
    link: &mut Link,
    requests: &mut mpsc::UnboundedReceiver<i64>,
    asked: &Asked,
) -> Result<Option<(LeaseKeeper, LeaseKeepAliveStream)>, Error> {
    while let Some(lease) = requests.recv().await {
        match link.lease.keep_alive(lease).await {
            Ok((mut keeper, responses)) => {
                keeper.keep_alive().await?;
                return Ok(Some((keeper, responses)));
            }
            Err(Error::LeaseKeepAliveError(said)) if said.contains("lease not found") => asked.answer(lease, 0),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn read(mut responses: LeaseKeepAliveStream, asked: &Asked) -> Error {
    loop {
        match responses.message().await {
            Ok(Some(response)) => asked.answer(response.id(), response.ttl()),
            Ok(None) => return Error::LeaseKeepAliveError("the server ended the stream of keep-alives".to_owned()),
            Err(error) => return error,
        }
    }
}

/// One handle serves all leases: it sends what its field says.
async fn write(mut keeper: LeaseKeeper, requests: &mut mpsc::UnboundedReceiver<i64>) -> Error {
    while let Some(lease) = requests.recv().await {
        keeper.id = lease;
        if let Err(error) = keeper.keep_alive().await {
            return error;
        }
    }
    Error::LeaseKeepAliveError("nobody needs it any more".to_owned())
}

fn ended() -> Arc<Error> {
    Arc::new(Error::LeaseKeepAliveError("the stream of keep-alives ended".to_owned()))
}

/// The driver's errors can't be cloned; a status can.
fn shared(error: &Error) -> Error {
    match error {
        Error::GRpcStatus(status) => Error::GRpcStatus(status.clone()),
        other => Error::LeaseKeepAliveError(other.to_string()),
    }
}

/// The server counts in seconds, and says zero or less of a lease that is over.
pub(crate) fn whole_seconds(seconds: i64) -> Option<Ttl> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    // A longer lease than ours can be is none of ours; it lives at least as long as the longest.
    Some(Ttl::new(Duration::from_secs(seconds).min(Ttl::MAX)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ask for one lease; the first's answer was a long time on its way, and the second's request is lost.
    #[test]
    fn each_answer_is_for_one_request() {
        let (send, mut requests) = mpsc::unbounded_channel();
        let asked = Asked::default();
        let ask = || {
            let (reply, answer) = oneshot::channel();
            asked.ask(7, reply, &send).unwrap();
            answer
        };
        let (mut first, mut second) = (ask(), ask());
        assert_eq!((requests.try_recv(), requests.try_recv()), (Ok(7), Ok(7)));
        asked.answer(7, 10);
        assert!(matches!(first.try_recv(), Ok(Ok(10))));
        assert!(second.try_recv().is_err(), "an answer for the first was taken for the second's");
        let third = ask();
        drop(third);
        let mut fourth = ask();
        asked.answer(7, 9);
        asked.answer(7, 8);
        assert!(matches!(second.try_recv(), Ok(Ok(9))));
        assert!(fourth.try_recv().is_err(), "the third went away, and its answer with it");
        asked.answer(7, 6);
        assert!(matches!(fourth.try_recv(), Ok(Ok(6))));
        assert!(asked.lock().is_empty());
    }
}

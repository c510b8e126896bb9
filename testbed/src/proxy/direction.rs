//! One direction of a connection: a reader that decides what becomes of the bytes, and a writer that is as late as
//! was ordered.

use std::future::pending;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::Instant;

use super::relay::{self, Ended};
use super::shared::{Seat, Shared};
use super::state::{End, Flow, State};
use super::talk::{Answer, Talk};
use super::trap::{Act, Verdict};

/// Reads on their way, in each direction of each connection. A side that sends more meets a full window.
const ON_THE_WAY: usize = 256;

/// The longest read.
const READ: usize = 16 * 1024;

/// A throttled connection passes so many pieces a second.
const PIECES: u32 = 50;

/// What both directions of a connection share.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) shared: &'a Shared,
    pub(super) seat: &'a Seat,
    pub(super) talk: &'a Mutex<Talk>,
}

/// What was read, on its way to the other side.
struct Parcel {
    due: Instant,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// A request that a trap has been set for, or the read that completed it.
    Trapped(Verdict, Vec<u8>),
    End(End),
}

/// Requests, until the client has nothing more to say.
pub(super) async fn requests(line: Line<'_>, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), Ended> {
    let (queue, parcels) = mpsc::channel(ON_THE_WAY);
    let deliver = deliver(line, requests_of, parcels, to, |counters, length| counters.bytes_to_server += length);
    tokio::try_join!(read_requests(line, from, queue), deliver).map(|_| ())
}

/// Replies, until the server has nothing more to say.
pub(super) async fn replies(line: Line<'_>, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), Ended> {
    let (queue, parcels) = mpsc::channel(ON_THE_WAY);
    let deliver = deliver(line, replies_of, parcels, to, |counters, length| counters.bytes_to_client += length);
    tokio::try_join!(read_replies(line, from, queue), deliver).map(|_| ())
}

fn requests_of(state: &State) -> &Flow {
    &state.requests
}

fn replies_of(state: &State) -> &Flow {
    &state.replies
}

async fn read_requests(line: Line<'_>, mut from: ReadHalf<'_>, queue: Sender<Parcel>) -> Result<(), Ended> {
    loop {
        let content = read(&mut from).await;
        if line.swallows(requests_of) {
            line.lose(&content).await;
            continue;
        }
        let content = match content {
            Content::Bytes(bytes) => line.look(bytes),
            other => other,
        };
        let (is_end, is_trapped) = (matches!(content, Content::End(_)), matches!(content, Content::Trapped(..)));
        line.send(&queue, requests_of, content).await;
        if is_end {
            return Ok(());
        }
        if is_trapped {
            // Nothing after it may reach the server.
            pending::<()>().await;
        }
    }
}

async fn read_replies(line: Line<'_>, mut from: ReadHalf<'_>, queue: Sender<Parcel>) -> Result<(), Ended> {
    loop {
        let content = read(&mut from).await;
        let answer = match &content {
            Content::Bytes(bytes) => {
                line.shared.count(|counters| counters.replies += 1);
                line.talk().server_sent(bytes)
            }
            // There will be none.
            _ => line.talk().no_answer(),
        };
        match answer {
            Answer::NotAwaited => {}
            Answer::NotYet => continue,
            Answer::Perhaps | Answer::Yes => {
                if answer == Answer::Perhaps {
                    relay::silence(&mut from).await;
                }
                let verdict = line.talk().take_verdict().expect("the answer was awaited for one");
                line.shared.fire(verdict).await;
                return Err(Ended::Cut(verdict.end));
            }
        }
        if line.swallows(replies_of) {
            line.lose(&content).await;
            continue;
        }
        let is_end = matches!(content, Content::End(_));
        line.send(&queue, replies_of, content).await;
        if is_end {
            return Ok(());
        }
    }
}

async fn read(from: &mut ReadHalf<'_>) -> Content {
    let mut bytes = vec![0; READ];
    match from.read(&mut bytes).await {
        Ok(0) => Content::End(End::Fin),
        Ok(length) => {
            bytes.truncate(length);
            Content::Bytes(bytes)
        }
        Err(_) => Content::End(End::Reset),
    }
}

async fn deliver(
    line: Line<'_>,
    flow: fn(&State) -> &Flow,
    mut parcels: Receiver<Parcel>,
    mut to: WriteHalf<'_>,
    count: fn(&mut super::Counters, u64),
) -> Result<(), Ended> {
    let mut state = line.shared.state.subscribe();
    while let Some(Parcel { due, content }) = parcels.recv().await {
        tokio::time::sleep_until(due).await;
        state.wait_for(|state| !flow(state).held).await.expect("the sender is shared");
        if line.is_half_open() {
            line.lose(&content).await;
            continue;
        }
        let (bytes, verdict) = match content {
            Content::Bytes(bytes) => (bytes, None),
            Content::Trapped(verdict, bytes) => match verdict.act {
                Act::Before => {
                    line.shared.fire(verdict).await;
                    return Err(Ended::Cut(verdict.end));
                }
                Act::After => (bytes, Some(verdict)),
                Act::Late => return Err(Ended::Late(verdict, bytes)),
            },
            Content::End(End::Reset) => return Err(Ended::Cut(End::Reset)),
            Content::End(End::Fin) => return to.shutdown().await.map_err(|_| Ended::Cut(End::Reset)),
        };
        let rate = flow(&state.borrow()).rate;
        // First counted, so that who has read them finds them counted.
        line.shared.count(|counters| count(counters, bytes.len() as u64));
        write(&mut to, &bytes, rate).await.map_err(|_| Ended::Cut(End::Reset))?;
        if let Some(verdict) = verdict {
            line.talk().await_answer_for(verdict);
        }
    }
    Ok(())
}

async fn write(to: &mut WriteHalf<'_>, bytes: &[u8], rate: Option<u32>) -> std::io::Result<()> {
    let Some(rate) = rate else { return to.write_all(bytes).await };
    let piece = rate.div_ceil(PIECES);
    for part in bytes.chunks(piece as usize) {
        tokio::time::sleep(Duration::from_secs(1) * u32::try_from(part.len()).unwrap_or(piece) / rate).await;
        to.write_all(part).await?;
    }
    Ok(())
}

impl<'a> Line<'a> {
    fn talk(&self) -> MutexGuard<'a, Talk> {
        self.talk.lock().expect("no panic under this lock")
    }

    /// Shows the traps what the client sent.
    fn look(&self, bytes: Vec<u8>) -> Content {
        let mut talk = self.talk();
        let sent = talk.client_sent(&bytes);
        self.shared.count(|counters| counters.requests += sent.requests);
        match self.shared.look(&sent) {
            Some(verdict) => Content::Trapped(verdict, bytes),
            None => Content::Bytes(bytes),
        }
    }

    async fn send(&self, queue: &Sender<Parcel>, flow: fn(&State) -> &Flow, content: Content) {
        let due = Instant::now() + flow(&self.shared.state.borrow()).delay;
        // The writer goes only together with the whole connection.
        let _ = queue.send(Parcel { due, content }).await;
    }

    fn is_half_open(&self) -> bool {
        self.shared.state.borrow().is_half_open(self.seat.number)
    }

    fn swallows(&self, flow: fn(&State) -> &Flow) -> bool {
        flow(&self.shared.state.borrow()).swallowed || self.is_half_open()
    }

    /// Loses what was read. After an end nothing more can be read; the connection stays for the other side.
    async fn lose(&self, content: &Content) {
        self.seat.rob();
        if matches!(content, Content::End(_)) {
            pending::<()>().await;
        }
    }
}

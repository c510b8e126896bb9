//! One connection, from its client's arrival to its end.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::direction::{self, Line};
use super::shared::{Seat, Shared};
use super::state::{End, Newcomers};
use super::talk::{Answer, Talk};
use super::trap::Verdict;

/// How long a server may take to answer a request that was delivered late.
const LATE_ANSWER: Duration = Duration::from_secs(5);

/// Silence after the beginning of an answer by which it is taken as whole. It costs time, and decides nothing that
/// a client can see.
const SILENCE: Duration = Duration::from_millis(20);

/// Why a connection ends otherwise than by the wish of both sides.
pub(super) enum Ended {
    Cut(End),
    /// The client is cut off at once, and the server gets this request when it is ordered.
    Late(Verdict, Vec<u8>),
}

/// Serves a client until the connection is over.
pub(super) async fn run(mut client: TcpStream, mut seat: Seat, shared: Arc<Shared>) {
    let ended = tokio::select! {
        biased;
        end = must_end(&shared, &seat) => Err((Ended::Cut(end), None)),
        server = connect(&shared) => match server {
            Err(_) => Err((Ended::Cut(End::Reset), None)),
            Ok(mut server) => {
                let talk = Mutex::new(Talk::default());
                let line = Line { shared: &shared, seat: &seat, talk: &talk };
                let ended = tokio::select! {
                    biased;
                    end = must_end(&shared, &seat) => Err(Ended::Cut(end)),
                    ended = converse(line, &mut client, &mut server) => ended,
                };
                ended.map_err(|ended| (ended, Some((server, talk))))
            }
        },
    };
    match ended {
        Ok(()) => drop(client),
        Err((Ended::Cut(end), server)) => {
            close(client, end);
            if let Some((server, _)) = server {
                close(server, end);
            }
        }
        Err((Ended::Late(verdict, request), server)) => {
            let round = seat.keep();
            shared.fire(verdict).await;
            close(client, verdict.end);
            let (server, talk) = server.expect("a request was read for it");
            deliver_late(&shared, round, server, &talk, (verdict, request)).await;
        }
    }
    // Who waits until the connection has ended, waits for this.
    drop(seat);
}

/// Waits for the order, if it ever comes, that this connection is to end.
async fn must_end(shared: &Shared, seat: &Seat) -> End {
    let mut state = shared.state.subscribe();
    loop {
        if let Some(end) = state.borrow_and_update().must_end(seat.number, seat.is_robbed()) {
            return end;
        }
        state.changed().await.expect("the sender is shared");
    }
}

/// Connects to the server, once newcomers are let through.
async fn connect(shared: &Shared) -> io::Result<TcpStream> {
    let mut state = shared.state.subscribe();
    let upstream = state.wait_for(|state| state.newcomers != Newcomers::Wait).await.expect("it is shared").upstream;
    TcpStream::connect(upstream).await
}

/// Both directions, until both have ended in order or one for another reason.
async fn converse(line: Line<'_>, client: &mut TcpStream, server: &mut TcpStream) -> Result<(), Ended> {
    // A proxy that waits to fill packets would be a fault that nobody ordered.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        direction::requests(line, from_client, to_server),
        direction::replies(line, from_server, to_client),
    )?;
    Ok(())
}

fn close(stream: TcpStream, end: End) {
    if end == End::Reset {
        // Fails if the other side has gone already: just as well.
        let _ = stream.set_zero_linger();
    }
    drop(stream);
}

/// Keeps the request until the order comes; gives it to the server then, and waits for the answer.
async fn deliver_late(
    shared: &Shared,
    round: u64,
    mut server: TcpStream,
    talk: &Mutex<Talk>,
    (verdict, request): (Verdict, Vec<u8>),
) {
    let mut state = shared.state.subscribe();
    state.wait_for(|state| round < state.late_round).await.expect("the sender is shared");
    if server.write_all(&request).await.is_ok() {
        shared.count(|counters| counters.bytes_to_server += request.len() as u64);
        talk.lock().expect("no panic under this lock").await_answer_for(verdict);
        let _ = tokio::time::timeout(LATE_ANSWER, answered(&mut server, talk)).await;
    }
}

/// Reads until the answer that is awaited has come, or the server has ended the connection.
async fn answered(server: &mut TcpStream, talk: &Mutex<Talk>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = server.read(&mut buffer).await {
        let answer = talk.lock().expect("no panic under this lock").server_sent(&buffer[..length]);
        match answer {
            Answer::Yes => return,
            Answer::Perhaps => return silence(server).await,
            Answer::NotAwaited | Answer::NotYet => {}
        }
    }
}

/// Reads until nothing more comes for a while.
pub(super) async fn silence(from: &mut (impl AsyncReadExt + Unpin)) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(Ok(1..)) = tokio::time::timeout(SILENCE, from.read(&mut buffer)).await {}
}

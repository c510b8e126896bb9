//! What the two sides of a connection say: where requests begin, and what answers which.

use super::http2::{Frames, PREFACE};
use super::trap::{Sent, Verdict};

/// How much of what a client sent since the last reply is remembered, for traps that look for bytes.
const REMEMBERED: usize = 256 * 1024;

/// The talk on one connection.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// What the client sent since the last reply.
    text: Vec<u8>,
    answered: bool,
    /// What the server sent while the protocol was unknown: an HTTP/2 server may speak first.
    early: Vec<u8>,
    protocol: Protocol,
    /// The request whose answer a trap waits for.
    awaited: Option<(Awaited, Verdict)>,
}

#[derive(Debug, Default)]
enum Protocol {
    #[default]
    Unknown,
    Plain,
    Http2 {
        requests: Frames,
        replies: Frames,
        /// That of the last request.
        stream: u32,
    },
}

/// A request, as far as its answer can be told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Any bytes.
    Bytes,
    /// Headers or data on this stream.
    Stream(u32),
}

/// What bytes of a server mean for a request that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nobody waits.
    NotAwaited,
    /// It isn't the answer.
    NotYet,
    /// It is the answer, or the beginning of some: earlier requests may have been in line before it.
    Perhaps,
    /// It is the answer.
    Yes,
}

impl Talk {
    /// Notes what the client sent, and says how many requests begin with it.
    pub(super) fn client_sent(&mut self, bytes: &[u8]) -> Sent<'_> {
        let unknown = matches!(self.protocol, Protocol::Unknown);
        if self.answered && !unknown {
            self.text.clear();
        }
        let first = self.text.is_empty();
        self.text.extend_from_slice(bytes);
        if unknown {
            self.recognise();
        }
        let requests = match &mut self.protocol {
            Protocol::Http2 { requests, stream, .. } => {
                // All of it, if the protocol has just been recognised: a preface may come in pieces.
                let frames = requests.pass(if unknown { &self.text } else { bytes });
                let messages = frames.into_iter().filter(|frame| frame.is_message());
                messages.inspect(|frame| *stream = frame.stream).count() as u64
            }
            Protocol::Plain | Protocol::Unknown => u64::from(first),
        };
        self.answered = false;
        let excess = self.text.len().saturating_sub(REMEMBERED.max(bytes.len()));
        self.text.drain(..excess);
        Sent { requests, text: &self.text, fresh: bytes.len() }
    }

    /// Less than a preface is no request of HTTP/2, and of another protocol only if it looks like one: "PRI *".
    fn recognise(&mut self) {
        if self.text.starts_with(PREFACE) {
            let mut replies = Frames::default();
            replies.pass(&std::mem::take(&mut self.early));
            self.protocol = Protocol::Http2 { requests: Frames::after_preface(), replies, stream: 0 };
        } else if !PREFACE.starts_with(&self.text) {
            self.protocol = Protocol::Plain;
        }
    }

    fn last_request(&self) -> Awaited {
        match self.protocol {
            Protocol::Http2 { stream, .. } => Awaited::Stream(stream),
            Protocol::Plain | Protocol::Unknown => Awaited::Bytes,
        }
    }

    /// From now on replies are looked at for the answer to the last request.
    pub(super) fn await_answer_for(&mut self, verdict: Verdict) {
        self.awaited = Some((self.last_request(), verdict));
    }

    /// For whom the answer was awaited.
    pub(super) fn take_verdict(&mut self) -> Option<Verdict> {
        self.awaited.take().map(|(_, verdict)| verdict)
    }

    /// Notes what the server sent.
    pub(super) fn server_sent(&mut self, bytes: &[u8]) -> Answer {
        self.answered = true;
        let frames = match &mut self.protocol {
            Protocol::Http2 { replies, .. } => replies.pass(bytes),
            Protocol::Plain => Vec::new(),
            Protocol::Unknown => {
                self.early.extend_from_slice(bytes);
                Vec::new()
            }
        };
        match self.awaited {
            None => Answer::NotAwaited,
            Some((Awaited::Bytes, _)) => Answer::Perhaps,
            Some((Awaited::Stream(stream), _)) => {
                let found = frames.iter().any(|frame| frame.is_answer() && frame.stream == stream);
                if found { Answer::Yes } else { Answer::NotYet }
            }
        }
    }

    /// The server has ended the connection.
    pub(super) fn no_answer(&self) -> Answer {
        if self.awaited.is_some() { Answer::Yes } else { Answer::NotAwaited }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::End;
    use super::super::trap::Act;
    use super::*;

    const VERDICT: Verdict = Verdict { act: Act::After, end: End::Reset, then_refuse: false };

    fn data(stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0, 0, stream], payload].concat()
    }

    fn ping() -> Vec<u8> {
        [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[1; 8]].concat()
    }

    #[test]
    fn a_request_is_what_comes_after_a_reply() {
        let mut talk = Talk::default();
        assert_eq!(talk.client_sent(b"GET").requests, 1);
        assert_eq!(talk.client_sent(b" a").requests, 0);
        assert_eq!(talk.client_sent(b" b").text, b"GET a b");
        talk.server_sent(b"1");
        let sent = talk.client_sent(b"SET");
        assert_eq!((sent.requests, sent.text, sent.fresh), (1, &b"SET"[..], 3));
    }

    #[test]
    fn in_http2_a_request_is_a_message_and_its_stream_tells_the_answer() {
        for preface_in_pieces in [false, true] {
            let mut talk = Talk::default();
            // The server may speak first.
            talk.server_sent(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
            if preface_in_pieces {
                assert_eq!(talk.client_sent(&PREFACE[..5]).requests, 1, "not known yet");
                assert_eq!(talk.client_sent(&[&PREFACE[5..], &ping()].concat()).requests, 0);
            } else {
                assert_eq!(talk.client_sent(&[PREFACE, &ping()].concat()).requests, 0);
            }
            talk.server_sent(&ping());
            assert_eq!(talk.client_sent(&ping()).requests, 0);
            assert_eq!(talk.client_sent(&[data(1, b"grant"), data(3, b"txn")].concat()).requests, 2);
            assert_eq!(talk.server_sent(&data(3, b"of something else")), Answer::NotAwaited);
            talk.await_answer_for(VERDICT);
            assert_eq!(talk.server_sent(&ping()), Answer::NotYet);
            assert_eq!(talk.server_sent(&data(1, b"granted")), Answer::NotYet);
            assert_eq!(talk.server_sent(&data(3, b"done")), Answer::Yes);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut talk = Talk::default();
        for _ in 0..20 {
            talk.client_sent(&vec![b'x'; REMEMBERED / 4]);
        }
        assert_eq!(talk.text.len(), REMEMBERED);
    }
}

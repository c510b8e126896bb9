//! What is ordered at the moment: one value, which every connection looks at.

use std::net::SocketAddr;
use std::time::Duration;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order: the other side reads an end of file.
    Fin,
    /// At once: the other side gets "connection reset".
    Reset,
}

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newcomers {
    Serve,
    Wait,
    Refuse,
}

/// What becomes of bytes in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) held: bool,
    pub(super) swallowed: bool,
    pub(super) delay: Duration,
    /// Bytes a second.
    pub(super) rate: Option<u32>,
}

/// Connections are numbered from 1 as they come; "below" means all that were open when it was ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) upstream: SocketAddr,
    pub(super) newcomers: Newcomers,
    pub(super) requests: Flow,
    pub(super) replies: Flow,
    pub(super) half_open_below: u64,
    pub(super) cut_below: (u64, End),
    /// Late requests kept in an earlier round are to be delivered.
    pub(super) late_round: u64,
}

impl State {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            newcomers: Newcomers::Serve,
            requests: Flow::default(),
            replies: Flow::default(),
            half_open_below: 0,
            cut_below: (0, End::Fin),
            late_round: 1,
        }
    }

    pub(super) fn heal(&mut self) {
        let healthy = Self::new(self.upstream);
        *self = Self { cut_below: self.cut_below, late_round: self.late_round, ..healthy };
    }

    /// How this connection must end, if it must. `robbed`: it has lost bytes, so once they aren't lost any more, it
    /// can't go on: a stream with a hole in it doesn't exist in TCP.
    pub(super) fn must_end(&self, connection: u64, robbed: bool) -> Option<End> {
        let (below, end) = self.cut_below;
        if connection < below {
            return Some(end);
        }
        (robbed && !self.replies.swallowed && !self.is_half_open(connection)).then_some(End::Reset)
    }

    pub(super) fn is_half_open(&self, connection: u64) -> bool {
        connection < self.half_open_below
    }
}

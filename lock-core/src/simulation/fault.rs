//! What can go wrong in a simulation, each told in words.

use std::fmt;
use std::time::Duration;

/// One thing that goes wrong in a run. Clients are counted from 0 and called a, b, c in texts; times are true time
/// since the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Something happens to the client's `nth` request to the store, counted from 0.
    Request {
        /// Whose.
        client: usize,
        /// Which of its requests.
        nth: u64,
        /// What happens to it.
        fate: Fate,
    },
    /// Something happens to the reply to the client's `nth` request.
    Reply {
        /// Whose.
        client: usize,
        /// To which of its requests.
        nth: u64,
        /// What happens to it.
        fate: Fate,
    },
    /// Nothing passes between the client and the store.
    CutOff {
        /// Who.
        client: usize,
        /// From when.
        at: Duration,
        /// For how long.
        lasts: Duration,
        /// Whether what was sent meanwhile arrives afterwards; else it is lost.
        kept: bool,
    },
    /// The client's process is stopped (`SIGSTOP`, a long garbage collection): its clocks go on.
    Pause {
        /// Who.
        client: usize,
        /// From when.
        at: Duration,
        /// For how long.
        lasts: Duration,
        /// Whether replies that came meanwhile are seen before the timers that fired meanwhile.
        replies_first: bool,
    },
    /// The client's process is stopped right after it has looked at the clock, in the midst of its code.
    Stall {
        /// Who.
        client: usize,
        /// At which look, counted from 1.
        look: u64,
        /// For how long.
        lasts: Duration,
    },
    /// The client's host is suspended: only its boot clock goes on.
    Suspend {
        /// Who.
        client: usize,
        /// From when.
        at: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// The client's process is killed.
    Kill {
        /// Who.
        client: usize,
        /// When.
        at: Duration,
    },
    /// The client's clocks run this many millionths faster than true time (slower: negative).
    Drift {
        /// Whose.
        client: usize,
        /// By how much.
        ppm: i32,
    },
    /// The store is down: requests are refused, connections break. It keeps its data.
    StoreDown {
        /// From when.
        at: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// The store loses all its data.
    StoreLosesData {
        /// When.
        at: Duration,
        /// Whether holders are given a hint.
        hinted: bool,
    },
    /// The store's clock jumps.
    StoreClockJumps {
        /// When.
        at: Duration,
        /// By so many milliseconds (back: negative).
        by_ms: i64,
    },
    /// The store's clock runs this many millionths faster than true time (slower: negative).
    StoreDrift {
        /// By how much.
        ppm: i32,
    },
    /// An operator takes a lock away: the first that is held then, by its key.
    Break {
        /// When.
        at: Duration,
        /// Whether the holder is given a hint.
        hinted: bool,
    },
}

/// What happens to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It is lost, and nobody is told.
    Lost,
    /// It isn't sent, or not read, and the client gets an error at once.
    ConnectionBreaks,
    /// It arrives so much later than usual, and may be overtaken by others.
    Late(Duration),
    /// The client gets an error at once, and the message arrives so much later all the same.
    BreaksAndArrivesLate(Duration),
    /// It arrives, and once more so much later.
    Twice(Duration),
}

/// Kinds of faults, to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Single requests and replies are lost, delayed, duplicated, overtaken.
    Messages,
    /// Clients are cut off from the store.
    Partitions,
    /// Processes are stopped for a while, between two steps or in the midst of one.
    Pauses,
    /// Hosts are suspended.
    Suspends,
    /// Processes are killed.
    Kills,
    /// Clocks run up to 1 % fast or slow.
    Drift,
    /// The store is down for a while.
    StoreRestarts,
    /// The store loses its data, or an operator takes a lock away: then two may believe in one lock for up to a
    /// TTL, and only the fencing token helps.
    DataLoss,
    /// The store's clock jumps: forwards, leases end too early, with the same consequence.
    StoreClockJumps,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::Messages,
        Self::Partitions,
        Self::Pauses,
        Self::Suspends,
        Self::Kills,
        Self::Drift,
        Self::StoreRestarts,
        Self::DataLoss,
        Self::StoreClockJumps,
    ];
}

/// A client's name in texts.
pub(super) fn name(client: usize) -> char {
    u8::try_from(client).ok().and_then(|client| b'a'.checked_add(client)).map_or('?', char::from)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { client, nth, fate } => write!(f, "request {nth} of client {} {fate}", name(*client)),
            Self::Reply { client, nth, fate } => {
                write!(f, "the reply to request {nth} of client {} {fate}", name(*client))
            }
            Self::CutOff { client, at, lasts, kept } => {
                let then = if *kept { "arrives afterwards" } else { "is lost" };
                let name = name(*client);
                write!(f, "at {at:?} client {name} is cut off from the store for {lasts:?}; what it sends {then}")
            }
            Self::Pause { client, at, lasts, replies_first } => {
                let first = if *replies_first { "replies" } else { "timers" };
                let name = name(*client);
                write!(f, "at {at:?} client {name} is stopped for {lasts:?}, and then sees {first} first")
            }
            Self::Stall { client, look, lasts } => {
                write!(f, "client {} is stopped for {lasts:?} after look {look} at its clock", name(*client))
            }
            Self::Suspend { client, at, lasts } => {
                write!(f, "at {at:?} the host of client {} is suspended for {lasts:?}", name(*client))
            }
            Self::Kill { client, at } => write!(f, "at {at:?} client {} is killed", name(*client)),
            Self::Drift { client, ppm } => write!(f, "the clocks of client {} run {}", name(*client), Pace(*ppm)),
            Self::StoreDown { at, lasts } => write!(f, "at {at:?} the store is down for {lasts:?}"),
            Self::StoreLosesData { at, hinted } => {
                write!(f, "at {at:?} the store loses its data{}", if *hinted { ", and holders get a hint" } else { "" })
            }
            Self::StoreClockJumps { at, by_ms } => write!(f, "at {at:?} the store's clock jumps by {by_ms} ms"),
            Self::StoreDrift { ppm } => write!(f, "the store's clock runs {}", Pace(*ppm)),
            Self::Break { at, hinted } => {
                let hint = if *hinted { ", and its holder gets a hint" } else { "" };
                write!(f, "at {at:?} an operator takes a lock away{hint}")
            }
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("is lost"),
            Self::ConnectionBreaks => f.write_str("meets a broken connection"),
            Self::Late(by) => write!(f, "is {by:?} late"),
            Self::BreaksAndArrivesLate(by) => {
                write!(f, "meets a broken connection and arrives {by:?} late all the same")
            }
            Self::Twice(by) => write!(f, "arrives, and again {by:?} later"),
        }
    }
}

struct Pace(i32);

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, which) = (f64::from(self.0.abs()) / 1e4, if self.0 < 0 { "slow" } else { "fast" });
        write!(f, "{percent:.2} % {which}")
    }
}

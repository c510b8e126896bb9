//! What is compared: ways of locking, behind one small trait, so that every measurement takes any of them.

mod blocking;
mod ours;
mod store;

pub(crate) use blocking::{Blocking, BlockingLock};
pub(crate) use ours::{Ours, ours};
pub(crate) use store::{Counted, Program, Store};

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// One way of locking.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) lacks: &'static [Lack],
    /// What a reader must know of how it was measured.
    pub(crate) note: &'static str,
    pub(crate) way: Way,
    /// The measurements it takes no part in, and why.
    pub(crate) skips: &'static [(Kind, &'static str)],
}

/// Who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Ours,
    /// The store's own operations without a lock around them: what no lock on it can beat by much.
    Floor,
    Peer,
}

/// What it doesn't do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// No number with which the protected resource could refuse a stale writer.
    Token,
    /// Nobody can see who holds it.
    Metadata,
    /// A holder that hangs keeps the lock for ever.
    HangTakeover,
    /// The lease isn't renewed: work that takes longer than the TTL loses the lock.
    Renewal,
    /// A holder isn't told that it has lost the lock.
    LossNotice,
    /// Waiters ask again and again.
    WakeUp,
    /// Whoever comes first after a release gets it.
    Order,
    /// Waiting blocks a thread.
    AsyncWaiting,
}

impl Lack {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Token => "fencing token",
            Self::Metadata => "who holds it",
            Self::HangTakeover => "takeover from a hung holder",
            Self::Renewal => "renewal",
            Self::LossNotice => "notice of a loss",
            Self::WakeUp => "wake-up of waiters (polls)",
            Self::Order => "order of waiters",
            Self::AsyncWaiting => "waiting without a thread",
        }
    }
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A: acquire + release of a lock that nobody else wants
    Uncontended,
    /// B: acquire + release on distinct keys, by many tasks
    Throughput,
    /// C: from a release to the next grant, among contenders that come back at once
    Handoff,
    /// D: many locks held and renewed
    Heartbeats,
    /// E: from a holder's death, or its stopping, to the grant of a waiter
    Recovery,
    /// The CPU time of those who wait
    Waiting,
    /// F: a command run under a lock
    Command,
}

/// How it is reached.
pub(crate) enum Way {
    /// A client in a process of ours.
    Client(fn(Place) -> Connecting),
    /// Not a lock, but the way of one signal from one connection to another, whatever the number of contenders: the
    /// floor of a hand-off.
    Signal(fn(Place) -> ConnectingSignal),
    /// `bench/peers/peer.py` with this module; only when asked for.
    Python(&'static str),
}

pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Arc<dyn Client>>> + Send>>;
pub(crate) type ConnectingSignal = Pin<Box<dyn Future<Output = Result<Box<dyn Signal>>> + Send>>;

/// Where the store is, and how it is to be used.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// The store, as `distlock` takes it
    #[arg(long)]
    pub(crate) url: String,
    /// The TTL of locks, where there is one
    #[arg(long, default_value_t = 30_000)]
    pub(crate) ttl_ms: u64,
    /// There is one task, so it may block its thread
    #[arg(long)]
    pub(crate) alone: bool,
    /// Begins all keys, so that no turn meets what another left behind
    #[arg(long, default_value = "try")]
    pub(crate) tag: String,
}

impl Place {
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    /// The directory of a `file:` store.
    pub(crate) fn directory(&self) -> &std::path::Path {
        std::path::Path::new(self.url.strip_prefix("file://").unwrap_or(&self.url))
    }
}

/// A connection to the store, shared by the tasks of a process as a program would.
#[async_trait]
pub(crate) trait Client: Send + Sync {
    /// Waits until the lock is granted.
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>>;
}

/// A lock that is held.
#[async_trait]
pub(crate) trait Held: Send {
    async fn release(self: Box<Self>) -> Result<()>;

    /// Whether the holder may still rely on it, as far as this way of locking can tell.
    fn is_held(&self) -> bool {
        true
    }
}

/// Two connections, of which one hears what the other does.
#[async_trait]
pub(crate) trait Signal: Send {
    /// How long it took from the beginning of the one's doing to the other's hearing.
    async fn signal(&mut self) -> Result<Duration>;
}

impl Contestant {
    pub(crate) fn takes_part(&self, kind: Kind) -> bool {
        self.skips.iter().all(|(skipped, _)| *skipped != kind)
    }
}

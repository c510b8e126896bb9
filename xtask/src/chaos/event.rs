//! What clients and the driver write down while a chaos run is under way.

use serde::{Deserialize, Serialize};

/// Nanoseconds of `CLOCK_MONOTONIC`: one clock for all processes of the host.
pub(super) type Nanos = u64;

/// One line of a client's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// When. Each event says whether that was before or after what it tells.
    pub(super) at: Nanos,
    /// The acquisition that it belongs to, counted in each process; 0: the process itself.
    pub(super) op: u64,
    /// What.
    #[serde(flatten)]
    pub(super) what: What,
}

/// What a client tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum What {
    /// Before the call. `waits` is false for `try_acquire`.
    Invoked { key: String, waits: bool },
    /// After the call. `deadline`: `at` plus what remained after `at`, so never later than the lease's real one.
    Granted { token: u64, owner: String, ttl: Nanos, deadline: Nanos },
    /// After the call: someone else has the lock, or had it for as long as we would wait.
    NotGranted,
    /// After the call: the store failed.
    Failed { error: String },
    /// After the future of the call was dropped: whatever it got, it gives back.
    Abandoned,
    /// Before `is_held()`, which then said yes. `deadline` as in `Granted`.
    Held { deadline: Nanos },
    /// After `is_held()` said no.
    NotHeld { reason: String },
    /// Before the guard is released (or dropped: `drops`).
    LetGo { drops: bool },
    /// After the release. `ours`: the store said that the lock was ours till then.
    Released { ours: bool },
    /// After the resource took a write.
    Wrote { value: u64 },
    /// After the resource refused us, for it had seen the token `highest`.
    Refused { highest: u64 },
    /// After a release, a look or a break that the store failed; it was begun at `since`.
    Helpless { since: Nanos, error: String },
    /// After a release by an owner that holds nothing. `freed`: the store said that it freed a lock.
    Trespassed { key: String, owner: String, freed: bool },
    /// After the holder looked, through another connection, who holds its lock, and was still held.
    Inspected { owner: Option<String> },
    /// Before the process ends on purpose.
    Exits,
}

/// One line of the driver's journal. Both times, since what it did happened somewhere between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Act {
    pub(super) before: Nanos,
    pub(super) after: Nanos,
    #[serde(flatten)]
    pub(super) deed: Deed,
}

/// What the driver did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "kebab-case")]
pub(super) enum Deed {
    /// Started a client.
    Started { process: String },
    /// SIGSTOP.
    Stopped { process: String },
    /// SIGCONT.
    Continued { process: String },
    /// SIGKILL.
    Killed { process: String },
    /// The process was seen to have ended by itself.
    Ended { process: String, good: bool },
    /// Took a lock away from the holder with this token.
    Broke { key: String, token: u64 },
    /// Asked for the same, and was told that this holder doesn't have the lock.
    Spared { key: String, token: u64 },
    /// Deleted all that the store knows of a lock, and with it the grants with these tokens.
    Removed { key: String, tokens: Vec<u64> },
    /// Put something between the client in this place (or all clients) and the store.
    Trouble { what: String, place: Option<usize> },
    /// The same trouble is over, and has been for as long as the store needs to find itself again.
    Well { what: String, place: Option<usize> },
    /// Set the wall clocks of half the clients.
    ClockSet { ahead_ms: i64 },
    /// From here on nothing is done to anybody, and everything is well.
    Quiet,
    /// Looked at a lock when all clients were gone.
    LeftBehind { key: String, owner: Option<String> },
}

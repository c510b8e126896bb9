//! Held, unknown or lost: what a holder is told of its lock.

use std::fmt;
use std::sync::Arc;

use crate::{BackendError, FencingToken, LockKey};

/// How sure a holder can be of its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// The lease is good and the last renewal succeeded.
    Held,
    /// The lease is still good, but renewals fail: it may be lost soon.
    Unknown,
    /// The lock is not ours, or can't be proven ours. Nothing revives it.
    Lost,
}

/// Why a lock is no longer held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LostReason {
    /// The lease's deadline passed before a renewal succeeded: the store couldn't be reached in
    /// time (then the last error is told), or this process was paused or too busy.
    Expired {
        /// What the last renewal failed with.
        last_error: Option<Arc<BackendError>>,
    },
    /// The store says that the lock is not ours: it expired there, or someone took it away.
    TakenAway,
    /// It was held for as long as `max_hold` allows.
    MaxHold,
    /// The supervisor was shut down.
    ShutDown,
    /// The guard was released or dropped.
    Released,
}

/// A lock was lost. What it protected must not be touched any more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the lock \"{key}\" (token {token}) was lost: {reason}")]
pub struct LockLost {
    key: LockKey,
    token: FencingToken,
    reason: LostReason,
}

impl LockLost {
    pub(crate) fn new(key: LockKey, token: FencingToken, reason: LostReason) -> Self {
        Self { key, token, reason }
    }

    /// The lock.
    pub fn key(&self) -> &LockKey {
        &self.key
    }
    /// The token of the lost grant; someone else may have a greater one by now.
    pub fn token(&self) -> FencingToken {
        self.token
    }
    /// Why.
    pub fn reason(&self) -> &LostReason {
        &self.reason
    }
}

impl LostReason {
    /// A short stable name, as used in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::TakenAway => "taken-away",
            Self::MaxHold => "max-hold",
            Self::ShutDown => "shut-down",
            Self::Released => "released",
        }
    }
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { last_error: Some(error) } => {
                write!(f, "its lease ran out, since no renewal succeeded; the last one failed with: {error}")
            }
            Self::Expired { last_error: None } => {
                f.write_str("its lease ran out before it could be renewed; this process was paused or too busy")
            }
            Self::TakenAway => f.write_str("the store says that it is not ours; it expired there or was taken away"),
            Self::MaxHold => f.write_str("it was held for as long as max_hold allows"),
            Self::ShutDown => f.write_str("the supervisor was shut down"),
            Self::Released => f.write_str("it was released"),
        }
    }
}

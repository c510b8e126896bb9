#![doc = include_str!("../README.md")]

mod acquire;
mod admin;
mod backend;
mod capabilities;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod error;
mod gate;
mod guard;
mod heartbeat;
mod held;
mod holder;
mod key;
mod lock;
mod loss;
mod memory;
mod queue;
mod record;
mod release;
mod request;
mod schedule;
#[cfg(feature = "simulation")]
pub mod simulation;
mod state;
mod supervisor;
mod telemetry;
mod token;
mod ttl;

pub use admin::{BreakOutcome, Finding, LockAdmin, Severity, Store};
pub use async_trait::async_trait;
pub use backend::LockBackend;
pub use capabilities::{Capabilities, Fairness, LeaseClock, Scope, TokenDurability, WakeUp};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use error::{BackendError, ErrorKind, Operation, Outcome, Retry};
pub use gate::{FencingGate, StaleToken};
pub use guard::{LockGuard, ReleaseError};
pub use holder::{HolderInfo, InvalidLabel, Label};
pub use key::{InvalidKey, LockKey, shorten};
pub use lock::{AcquireError, LockRequest};
pub use loss::{LockLost, LockState, LostReason};
pub use memory::MemoryBackend;
pub use record::LockRecord;
pub use request::{AcquireRequest, Attempt, Claim, Contention, Grant, Lease, LossHint, Release, Renewal, Takeover};
pub use supervisor::{ShutdownReport, Supervisor, SupervisorBuilder};
pub use token::{FencingToken, InvalidOwnerId, InvalidToken, OwnerId};
pub use ttl::{InvalidTtl, Ttl};

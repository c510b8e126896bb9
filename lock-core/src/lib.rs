//! The core of Distlock.

mod admin;
mod backend;
mod capabilities;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod holder;
mod key;
mod memory;
mod request;
mod token;
mod ttl;

pub use admin::{BreakOutcome, Finding, LockAdmin, Severity, Store};
pub use async_trait::async_trait;
pub use backend::LockBackend;
pub use capabilities::{Capabilities, Fairness, LeaseClock, Scope, TokenDurability, WakeUp};
pub use error::{BackendError, ErrorKind, Operation, Retry};
pub use holder::{HolderInfo, InvalidLabel, Label, LockRecord};
pub use key::{InvalidKey, LockKey, shorten};
pub use memory::MemoryBackend;
pub use request::{AcquireRequest, Attempt, Claim, Contention, Grant, Lease, Release, Renewal, Takeover};
pub use token::{FencingToken, InvalidOwnerId, OwnerId};
pub use ttl::{InvalidTtl, Ttl};

#![doc = include_str!("../README.md")]

mod acquire;
mod admin;
mod backend;
mod directory;
mod ear;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod held;
mod host;
mod look;
mod name;
mod network;
mod os;
mod owners;
mod preflight;
mod queue;
mod record;
mod reuse;
mod seam;
mod shared;
mod slot;
mod temporaries;
mod wait;
mod watch;

#[cfg(test)]
mod tests;

pub use backend::{FileBackend, FileBackendBuilder, NetworkFileSystems};

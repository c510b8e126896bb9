//! A deterministic simulation of programs that hold locks, under every fault, from one seed.
mod backend;
mod chance;
mod check;
mod client;
mod clock;
mod fault;
mod history;
mod message;
mod plan;
mod process;
mod run;
mod shrink;
mod store;
mod trial;
mod world;

pub(crate) use chance::seeded_owner;
pub use client::Client;
pub use fault::{Fate, Fault, FaultKind};
pub use process::Ending;
pub use run::{Outcome, Simulation, explore};
pub use trial::{Failure, Passed, trial};

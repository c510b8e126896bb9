//! A deterministic simulation of programs that hold locks: what they do when locks are lost, clients cut off,
//! processes stopped and hosts suspended, from one seed.
//!
//! The supervisor, its heartbeat, queue and guards are the real ones. What is simulated is around them: a store, a
//! network that loses, delays, duplicates and reorders messages, and the clocks of each client's host. Time is
//! simulated, too: a minute takes milliseconds.
//!
//! [`explore`] tries a program of yours under many seeds. A seed that fails is told with the fewest faults with
//! which it still fails, and with all that happened; it fails again whenever you run it.
//!
//! Add to your crate:
//!
//! ```toml
//! [dev-dependencies]
//! lock-core = { version = "0.1", features = ["simulation"] }
//! ```
//!
//! ```
//! use lock_core::FencingGate;
//! use lock_core::simulation::{FaultKind, explore};
//! use std::sync::{Arc, Mutex};
//!
//! explore(0..50, |simulation| {
//!     // What the lock protects: a counter, and the gate in front of it.
//!     let counter = Arc::new(Mutex::new((FencingGate::new(), 0, 0)));
//!     simulation.fault_kinds(FaultKind::ALL);
//!     for _ in 0..2 {
//!         let counter = counter.clone();
//!         simulation.client(|client| async move {
//!             let locks = client.supervisor();
//!             for _ in 0..3 {
//!                 let Ok(guard) = locks.lock("counter").acquire().await else { continue };
//!                 let (token, owner) = (guard.fencing_token(), guard.owner());
//!                 let read = counter.clone();
//!                 let seen = client.at_resource(move || {
//!                     let (gate, value, _) = &*read.lock().unwrap();
//!                     gate.admit(token, owner).ok().map(|()| *value)
//!                 });
//!                 let Some(seen) = seen.await else { continue };
//!                 let write = counter.clone();
//!                 client.at_resource(move || {
//!                     let (gate, value, updates) = &mut *write.lock().unwrap();
//!                     // Without this line some seeds lose updates.
//!                     if gate.admit(token, owner).is_ok() {
//!                         (*value, *updates) = (seen + 1, *updates + 1);
//!                     }
//!                 }).await;
//!             }
//!             Ok(())
//!         });
//!     }
//!     move || {
//!         let (_, value, updates) = &*counter.lock().unwrap();
//!         if value == updates { Ok(()) } else { Err("an update was lost".into()) }
//!     }
//! });
//! ```
//!
//! # How it works
//! Each client is a process on a host of its own: a tokio runtime with one thread and a paused clock, which is that
//! host's monotonic clock. The simulation steps all of them in true time. A process that is stopped isn't stepped,
//! and afterwards its clock is ahead of its timers; a suspended host's boot clock alone goes on; a clock that runs
//! fast is stepped further. A process may also be stopped in the midst of a step, right after it has looked at the
//! clock: between `is_held()` and what follows.
//!
//! # What programs owe
//! - Time comes from tokio, and randomness from [`fastrand`](https://docs.rs/fastrand)'s functions. `tokio::select!`
//!   draws its order from a source of its own: say `biased`, or a seed may not repeat itself.
//! - What clients share is touched in [`Client::at_resource`] alone.
//! - Threads, `spawn_blocking` and real I/O can't be simulated, nor can a heartbeat on a thread of its own.
mod backend;
mod chance;
mod check;
mod client;
mod clock;
mod explore;
mod fault;
mod history;
mod message;
mod outcome;
mod plan;
mod process;
mod run;
mod shrink;
mod store;
mod trial;
mod world;

pub(crate) use chance::seeded_owner;
pub use client::Client;
pub use explore::explore;
pub use fault::{Fate, Fault, FaultKind};
pub use outcome::Outcome;
pub use process::Ending;
pub use run::Simulation;
pub use trial::{Failure, Passed, trial};

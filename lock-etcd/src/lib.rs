#![doc = include_str!("../README.md")]

mod acquire;
mod admin;
mod backend;
mod builder;
mod check;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod granting;
mod group;
mod held;
mod keep_alive;
mod lease;
mod leases;
mod life;
mod members;
mod names;
mod news;
mod owners;
mod preflight;
mod queue;
mod release;
mod renew;
mod session;
mod sharing;
mod stream;
mod successor;
mod sweep;
mod told;
mod transact;
mod turn;
mod value;
mod versions;
mod wait;
mod watch;

pub use backend::EtcdBackend;
pub use builder::EtcdBackendBuilder;

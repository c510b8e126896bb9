#![doc = include_str!("../README.md")]

mod acquire;
mod admin;
mod api;
mod backend;
mod builder;
mod datacenter;
mod error;
mod finishing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod kept;
mod name;
mod owners;
mod preflight;
mod record;
mod refusal;
mod release;
mod renew;
mod session;
mod tls;
mod tree;
mod turns;
mod wait;
mod watch;
mod watched;
mod wire;

pub use backend::ConsulBackend;
pub use builder::ConsulBackendBuilder;

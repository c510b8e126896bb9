#![doc = include_str!("../README.md")]

mod admin;
mod backend;
mod batch;
mod builder;
mod cluster;
mod connector;
mod ears;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod inbox;
mod link;
mod names;
mod node;
mod place;
mod preflight;
mod record;
mod replicated;
mod scripts;
mod shared;
mod tls;
mod topology;
mod wait;

pub use backend::RedisBackend;
pub use builder::RedisBuilder;
pub use tls::Tls;

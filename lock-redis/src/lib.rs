#![doc = include_str!("../README.md")]

mod admin;
mod backend;
mod builder;
mod cluster;
mod connector;
mod ears;
mod error;
mod inbox;
mod link;
mod names;
mod preflight;
mod record;
mod replicated;
mod scripts;
mod shared;
mod topology;
mod wait;

pub use backend::RedisBackend;
pub use builder::{RedisBuilder, Tls};

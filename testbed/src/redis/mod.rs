//! Real Redis servers: one, with its replica, under Sentinel, or as a cluster.

mod server;

pub use server::{Cli, RedisServer};

//! Real Redis servers: one, with its replica, under Sentinel, as a cluster, or speaking TLS.

mod cluster;
mod sentinel;
mod server;
mod tls;

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinels;
pub use server::{Cli, RedisServer};
pub use tls::RedisTls;

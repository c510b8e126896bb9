//! Real Redis servers: one, with its replica, under Sentinel, as a cluster with replicas or without, or speaking TLS.

mod cluster;
mod sentinel;
mod server;
mod shards;
mod tls;

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinels;
pub use server::{Cli, RedisServer};
pub use shards::{RedisShards, SlotMove};
pub use tls::RedisTls;

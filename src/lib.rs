//! Distributed locks with fencing tokens over a file, Redis, etcd or Consul.

mod connect;
mod error;

pub use connect::{connect, connect_from_env, open, open_from_env};
pub use error::ConnectError;
pub use lock_core::*;
#[cfg(feature = "file")]
pub use lock_file;
#[cfg(feature = "redis")]
pub use lock_redis;

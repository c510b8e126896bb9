//! Distributed locks with fencing tokens over a file, Redis, etcd or Consul.

mod connect;
mod error;

pub use connect::{connect, connect_from_env, open, open_from_env};
pub use error::ConnectError;
#[cfg(feature = "consul")]
pub use lock_consul;
pub use lock_core::*;
#[cfg(feature = "etcd")]
pub use lock_etcd;
#[cfg(feature = "file")]
pub use lock_file;
#[cfg(feature = "redis")]
pub use lock_redis;

/// For the fuzz targets of this project; no part of the API.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    /// What a URL names, without opening it; `None` where nothing can be told without that.
    ///
    /// # Errors
    /// As [`open`](crate::open), as far as the text is to blame.
    pub fn read_url(url: &str) -> Result<Option<std::path::PathBuf>, crate::ConnectError> {
        crate::connect::read(url)
    }

    #[cfg(feature = "consul")]
    pub use lock_consul::fuzzing as consul;
    #[cfg(feature = "etcd")]
    pub use lock_etcd::fuzzing as etcd;
    #[cfg(feature = "redis")]
    pub use lock_redis::fuzzing as redis;
}

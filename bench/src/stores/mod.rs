//! The stores. A backend plugs in here: one line in each function, and a file that says how its server is started and
//! who is compared on it.

mod consul;
mod etcd;
mod file;
mod redis;

use anyhow::Result;

use crate::contest::{Contestant, Store};

/// A backend of Distlock's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    File,
    Redis,
    Etcd,
    Consul,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Redis => "redis",
            Self::Etcd => "etcd",
            Self::Consul => "consul",
        }
    }

    /// Starts its server.
    pub(crate) fn start(self) -> Result<Box<dyn Store>> {
        match self {
            Self::File => Ok(Box::new(file::Directory::new()?)),
            Self::Redis => Ok(Box::new(redis::Redis::start()?)),
            Self::Etcd => Ok(Box::new(etcd::Member::start()?)),
            Self::Consul => Ok(Box::new(consul::DevAgent::start()?)),
        }
    }

    /// Who is compared on it: ours first, then the floors, then the peers.
    pub(crate) fn contestants(self) -> Vec<Contestant> {
        match self {
            Self::File => file::contestants(),
            Self::Redis => redis::contestants(),
            Self::Etcd => etcd::contestants(),
            Self::Consul => consul::contestants(),
        }
    }
}

//! The stores. A backend plugs in here: one line in each function, and a file that says how its server is started and
//! who is compared on it.

mod file;

use anyhow::Result;

use crate::contest::{Contestant, Store};

/// A backend of Distlock's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    File,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
        }
    }

    /// Starts its server.
    pub(crate) fn start(self) -> Result<Box<dyn Store>> {
        match self {
            Self::File => Ok(Box::new(file::Directory::new()?)),
        }
    }

    /// Who is compared on it: ours first, then the floors, then the peers.
    pub(crate) fn contestants(self) -> Vec<Contestant> {
        match self {
            Self::File => file::contestants(),
        }
    }
}

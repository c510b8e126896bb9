//! A store under measurement.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

/// One backend's store, running, and all who are compared on it. Ends with this value.
pub(crate) trait Store {
    /// Where contestants find it.
    fn url(&self) -> String;

    /// Which store it is, with its version.
    fn version(&self) -> String;

    /// The shortest TTL that is fair to ask of it.
    fn shortest_ttl(&self) -> Duration;

    /// Commands that run a command under a lock. `true` alone, the floor, isn't one of them.
    fn programs(&self) -> Vec<Program>;

    /// Acquired and released in a turn by one task: as many as take some seconds at most.
    fn pairs(&self) -> u32 {
        3_000
    }

    /// Why this contestant isn't asked to hold so many locks at once.
    fn too_many(&self, _contestant: &str, _locks: u64) -> Option<String> {
        None
    }

    /// The server's processes.
    fn servers(&self) -> Vec<u32> {
        Vec::new()
    }

    /// How many commands the server has done so far; those within scripts count. `None`: there is no server, or it
    /// doesn't say.
    fn commands(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// A way to the store that counts what passes. It is slower, so it isn't the way that is timed.
    fn counted(&self) -> Result<Option<Counted>> {
        Ok(None)
    }
}

/// A counting proxy before the store.
pub(crate) struct Counted {
    pub(crate) url: String,
    pub(crate) proxy: testbed::proxy::Proxy,
}

/// A command that runs a command under a lock.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) lacks: &'static [super::Lack],
    pub(crate) note: &'static str,
    /// Makes it, to run `true`.
    pub(crate) command: Box<dyn Fn() -> Command>,
}

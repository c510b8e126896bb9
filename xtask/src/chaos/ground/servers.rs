//! Servers as the ground of a run.

use std::net::SocketAddr;

use anyhow::Result;
use async_trait::async_trait;
use distlock::LockKey;

use crate::chaos::plan::Fault;

/// The servers of one store.
#[async_trait]
pub(super) trait Servers: Send {
    /// The servers that clients are told of.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// The URL of the store behind these addresses.
    fn url(&self, addresses: &[SocketAddr]) -> String;

    /// The server whose trouble hurts most: the one that leads, where the store claims to stand that.
    fn victim(&mut self, fault: Fault) -> Result<usize>;

    /// Kills or stops a server.
    fn hurt(&mut self, server: usize, fault: Fault) -> Result<()>;

    /// Starts it again, or lets it go on.
    fn mend(&mut self, server: usize, fault: Fault) -> Result<()>;

    /// Deletes, in one step, all that the store knows of a lock, and answers the tokens of its grants.
    async fn remove(&mut self, key: &LockKey) -> Result<Vec<u64>>;
}

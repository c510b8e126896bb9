//! The etcd backend against a real etcd: one member, a process of this benchmark, with its data below `TMPDIR`.

mod floor;
mod handoff;
mod held;
mod uncontended;
mod waiters;

use distlock::Supervisor;
use etcd_client::Client;
use lock_etcd::EtcdBackend;
use testbed::etcd::{Etcd, EtcdOptions};

#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Acquire + release of a free lock, against one put + one delete, the plain recipe, and the server's own lock
    Uncontended(uncontended::Options),
    /// From a release to the next grant, against a deletion seen by a watch, and the server's own lock
    Handoff(handoff::Options),
    /// 1,000 waiters on one key: whom a hand-off wakes, and how long it takes
    Waiters(waiters::Options),
    /// 10,000 locks held: the client's CPU and memory, the server's CPU, and how many streams
    Held(held::Options),
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let server = EtcdOptions::default().start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match bench {
            Bench::Uncontended(options) => Box::pin(uncontended::run(&server, options)).await,
            Bench::Handoff(options) => Box::pin(handoff::run(&server, options)).await,
            Bench::Waiters(options) => Box::pin(waiters::run(&server, options)).await,
            Bench::Held(options) => Box::pin(held::run(&server, options)).await,
        }
    })
}

/// A client of ours, with a connection of its own.
fn locks(server: &Etcd) -> anyhow::Result<Supervisor> {
    Ok(Supervisor::new(EtcdBackend::new(server.endpoints())?))
}

/// The driver's own client.
async fn driver(server: &Etcd) -> anyhow::Result<Client> {
    Ok(Client::connect(server.endpoints(), None).await?)
}

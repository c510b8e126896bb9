//! The Consul backend against a real agent: the floor is the same agent, asked by the same kind of client.

mod contend;
mod floor;
mod handoff;
mod held;
mod uncontended;
mod waiters;

#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Acquire + release of a free lock, against one KV PUT + one KV DELETE over the same kind of client
    Uncontended(uncontended::Options),
    /// From a release to the grant of a waiter in another process, against everybody on one blocking query
    Handoff(handoff::Options),
    /// Many locks waited for by one process: connections and requests
    Waiters(waiters::Options),
    /// Many locks held by one process: its CPU, and requests
    Held(held::Options),
    /// One of the processes that contend
    #[command(hide = true)]
    Contend(contend::Options),
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Uncontended(options) => uncontended::run(options),
        Bench::Handoff(options) => handoff::run(options),
        Bench::Waiters(options) => waiters::run(options),
        Bench::Held(options) => held::run(options),
        Bench::Contend(options) => contend::run(options),
    }
}

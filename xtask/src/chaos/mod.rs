//! `cargo xtask chaos`: real processes over a real store, stopped, killed and robbed at random
//! moments, and then a proof, from what they wrote down, that no invariant was broken.
//!
//! The way: the driver starts clients and torments them by a [`plan`]; each writes a [`journal`];
//! the [`history`] puts these together; [`check`] looks for what must not be.

mod belief;
mod check;
mod client;
mod clocks;
mod driver;
mod event;
mod facts;
mod fleet;
mod ground;
mod history;
mod holding;
mod journal;
mod plan;
mod report;
mod resource;
mod span;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use distlock::LockKey;

use crate::servers::Server;

pub(crate) use client::{Options as ClientOptions, run as run_client};

/// How many violations are told in full. The rest is in the journals.
const TOLD: usize = 10;

/// What waking, scheduling and a loaded machine may add to a TTL before somebody who waits is served.
const GRACE: Duration = Duration::from_secs(1);

/// How to run the chaos.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The store.
    #[arg(long, value_enum, default_value_t = Backend::File)]
    pub(crate) backend: Backend,
    /// How long to go on.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Decides which faults come when, and what the clients do. Default: a new one.
    #[arg(long, default_value_t = fastrand::u64(..1_000_000))]
    pub(crate) seed: u64,
    /// How many clients run at a time.
    #[arg(long, default_value_t = 8)]
    pub(crate) processes: usize,
    /// The TTL of all leases. Default: a short one that the store grants.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) ttl: Option<Duration>,
    /// How many locks there are.
    #[arg(long, default_value_t = 3)]
    pub(crate) keys: usize,
    /// Keep the journals even if all is well.
    #[arg(long)]
    pub(crate) keep_logs: bool,
}

/// The stores that chaos can run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    File,
    Redis,
    Etcd,
    Consul,
}

impl Backend {
    /// What has to be provided for a run.
    pub(crate) fn servers(self) -> &'static [Server] {
        match self {
            Self::File => &[],
            Self::Redis => &[Server::Redis],
            Self::Etcd => &[Server::Etcd],
            Self::Consul => &[Server::Consul],
        }
    }
}

impl Options {
    fn ttl(&self) -> Duration {
        self.ttl.unwrap_or(ground::Terms::of(self.backend).ttl)
    }

    /// How long somebody may wait for a lock in which nobody believes.
    fn patience(&self) -> Duration {
        self.ttl() * ground::Terms::of(self.backend).reaped_within + GRACE
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Runs it, prints the table, and fails if an invariant was broken.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!(
        "chaos: {:?} backend, {} s, {} processes, {} keys, TTL {:?}, seed {}",
        options.backend,
        options.seconds,
        options.processes,
        options.keys,
        options.ttl(),
        options.seed
    );
    let directory = tempfile::Builder::new().prefix("distlock-chaos-").tempdir().context("a directory for the logs")?;
    let driver_journal = directory.path().join("driver.journal");
    let names: Vec<String> = (0..options.keys).map(|number| format!("k{number}")).collect();
    let keys = names.iter().map(|name| LockKey::new(name.clone())).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let judged = runtime.block_on(driver::drive(options, directory.path(), &driver_journal, &keys)).and_then(|done| {
        let history = history::load(directory.path(), &driver_journal, &names)?;
        let terms = ground::Terms::of(options.backend);
        let nanos = client::nanos(options.patience());
        let patience = check::Patience { nanos, waiters_may_hold: terms.waiters_may_hold };
        let facts = facts::Facts::of(&history);
        let found = check::violations(&facts, patience);
        print!("{}", report::table(&facts, &done, &found));
        Ok(found)
    });
    let found = match judged {
        Ok(found) if found.is_empty() && !options.keep_logs => return Ok(()),
        judged => {
            let kept = directory.keep();
            println!("logs: {}", kept.display());
            judged?
        }
    };
    for violation in found.iter().take(TOLD) {
        println!("\n{}: {}", violation.invariant.name(), violation.shown_by);
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("{} violations with seed {}", found.len(), options.seed)
}

/// This program, to be run again. Cargo may have built another one over it meanwhile.
fn this_program() -> Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { Ok(std::env::current_exe()?) }
}

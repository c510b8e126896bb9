//! The tests that mostly wait: all of them are begun by the first, so that they wait together.

use std::sync::LazyLock;

use lock_core::conformance::Ahead;

use crate::{cluster, departures, losses, network, outages, waiting};

/// The longest first.
const NAMES: [&str; 12] = [
    "killed leaders",
    "killed waiter",
    "no leader",
    "agent leaves",
    "agent restarts",
    "patience",
    "outage",
    "short outage",
    "lock-delay",
    "many delays",
    "write",
    "no retry",
];

pub(crate) fn end_of(name: &'static str) {
    static SLOW: LazyLock<Ahead> = LazyLock::new(|| Ahead::begin(NAMES.len(), NAMES, run));
    SLOW.end_of(name);
}

fn run(name: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match name {
            "killed leaders" => cluster::killed_leaders().await,
            "no leader" => cluster::no_leader().await,
            "killed waiter" => departures::killed_waiter().await,
            "agent leaves" => departures::agent_leaves().await,
            "agent restarts" => departures::agent_restarts().await,
            "many delays" => losses::many_delays().await,
            "patience" => waiting::patience().await,
            "outage" => outages::outage().await,
            "short outage" => outages::short_outage().await,
            "lock-delay" => losses::lock_delay().await,
            "write" => losses::foreign_write().await,
            "no retry" => network::no_retry().await,
            _ => unreachable!("{name}"),
        }
    });
}

//! The tests that mostly wait: all of them are begun by the first, so that they wait together.

use std::sync::LazyLock;

use lock_core::conformance::Ahead;

use crate::{cluster, losses, network, outages, waiting};

/// The longest first.
const NAMES: [&str; 8] =
    ["killed leaders", "no leader", "patience", "outage", "short outage", "lock-delay", "write", "no retry"];

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

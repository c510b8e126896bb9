//! What each backend has to reach, and what it reached.

use super::tables::{Table, number, ratios};
use crate::contest::Kind;
use crate::figures::Spread;
use crate::results::{Of, Results};

struct Bar {
    backend: &'static str,
    text: &'static str,
    kind: Kind,
    setting: &'static str,
    loads: &'static [u64],
    of: Measured,
    /// At most so much; with a negative sign, at least.
    limit: f64,
}

enum Measured {
    Ratio(&'static str),
    /// To another contestant's.
    RatioTo(&'static str, &'static str),
    Figure(&'static str),
    /// Of another contestant of ours.
    Of(&'static str, &'static str),
}

const OVER: &str = "over processes, held 0 ms";

const BARS: &[Bar] = &[
    Bar {
        backend: "file",
        text: "a waiter of another process is granted a lock within 0.5 ms of its release (p50)",
        kind: Kind::Handoff,
        setting: "over processes, held 1 ms",
        loads: &[2, 8],
        of: Measured::Figure("p50 ms"),
        limit: 0.5,
    },
    Bar {
        backend: "redis",
        text: "acquire + release at most 1.25 x two EVALSHA",
        kind: Kind::Uncontended,
        setting: "",
        loads: &[1],
        of: Measured::Ratio("p50 us"),
        limit: 1.25,
    },
    Bar {
        backend: "redis",
        text: "acquire + release at or ahead of rslock",
        kind: Kind::Uncontended,
        setting: "",
        loads: &[1],
        of: Measured::RatioTo("rslock", "p50 us"),
        limit: 1.0,
    },
    Bar {
        backend: "redis",
        text: "256 tasks on distinct keys: at least 0.8 of the same number of EVALSHA",
        kind: Kind::Throughput,
        setting: "",
        loads: &[256],
        of: Measured::Ratio("pairs/s"),
        limit: -0.8,
    },
    Bar {
        backend: "redis",
        text: "hand-off over processes at most 1.7 x a BLPOP token (p50)",
        kind: Kind::Handoff,
        setting: OVER,
        loads: &[2, 8, 64],
        of: Measured::Ratio("p50 ms"),
        limit: 1.7,
    },
    Bar {
        backend: "redis",
        text: "at most 10 commands a hand-off, whatever the number of waiters",
        kind: Kind::Handoff,
        setting: OVER,
        loads: &[2, 8, 64],
        of: Measured::Figure("commands"),
        limit: 10.0,
    },
    Bar {
        backend: "redis",
        text: "10,000 locks held: under 2 % of a core in the client",
        kind: Kind::Heartbeats,
        setting: "",
        loads: &[10_000],
        of: Measured::Figure("client CPU %"),
        limit: 2.0,
    },
    Bar {
        backend: "etcd",
        text: "acquire + release at most 1.5 x one put + one delete",
        kind: Kind::Uncontended,
        setting: "",
        loads: &[1],
        of: Measured::Ratio("p50 us"),
        limit: 1.5,
    },
    Bar {
        backend: "etcd",
        text: "hand-off over processes at most 1.3 x delete to watch event (p50)",
        kind: Kind::Handoff,
        setting: OVER,
        loads: &[2, 8, 64],
        of: Measured::Ratio("p50 ms"),
        limit: 1.3,
    },
    Bar {
        backend: "etcd",
        text: "hand-off p99 under 30 ms at 2 contenders",
        kind: Kind::Handoff,
        setting: OVER,
        loads: &[2],
        of: Measured::Figure("p99 ms"),
        limit: 30.0,
    },
    Bar {
        backend: "etcd",
        text: "10,000 locks held: under 3 % of a core in the client",
        kind: Kind::Heartbeats,
        setting: "",
        loads: &[10_000],
        of: Measured::Figure("client CPU %"),
        limit: 3.0,
    },
    Bar {
        backend: "etcd",
        text: "10,000 locks held: at most 4 KB a lock in the client",
        kind: Kind::Heartbeats,
        setting: "",
        loads: &[10_000],
        of: Measured::Figure("bytes/lock"),
        limit: 4096.0,
    },
    Bar {
        backend: "etcd",
        text: "10,000 locks held, leases shared: under 5 % of a core in the server",
        kind: Kind::Heartbeats,
        setting: "",
        loads: &[10_000],
        of: Measured::Of("distlock, shared leases", "server CPU %"),
        limit: 5.0,
    },
    Bar {
        backend: "consul",
        text: "acquire + release at most 1.3 x one PUT + one DELETE",
        kind: Kind::Uncontended,
        setting: "",
        loads: &[1],
        of: Measured::Ratio("p50 us"),
        limit: 1.3,
    },
    Bar {
        backend: "consul",
        text: "hand-off over processes at most 1.2 ms (p50)",
        kind: Kind::Handoff,
        setting: OVER,
        loads: &[2, 8, 64],
        of: Measured::Figure("p50 ms"),
        limit: 1.2,
    },
    Bar {
        backend: "consul",
        text: "1,000 locks waited for by one process: at most 8 connections",
        kind: Kind::Waiting,
        setting: "in one process, each for a lock of its own",
        loads: &[1_000],
        of: Measured::Figure("connections"),
        limit: 8.0,
    },
    Bar {
        backend: "consul",
        text: "at most 5 requests a hand-off",
        kind: Kind::Handoff,
        setting: "over processes, held 1 ms",
        loads: &[2, 8, 64],
        of: Measured::Figure("requests"),
        limit: 5.0,
    },
];

/// The bars of these backends, and how far each was reached.
pub(crate) fn table(all: &[Results]) -> Table {
    let mut rows = Vec::new();
    for bar in BARS {
        let Some(results) = all.iter().find(|results| results.backend == bar.backend) else { continue };
        for load in bar.loads {
            let of = |contestant: &str| Of {
                kind: bar.kind,
                contestant: contestant.into(),
                setting: bar.setting.into(),
                load: *load,
            };
            let ours = of("distlock");
            let measured = match bar.of {
                Measured::Ratio(metric) => ratios(results, &ours, metric).map(|ratios| ratios.median),
                Measured::Figure(metric) => {
                    results.rounds(&ours, metric).and_then(Spread::of).map(|spread| spread.median)
                }
                Measured::Of(name, metric) => {
                    results.rounds(&of(name), metric).and_then(Spread::of).map(|spread| spread.median)
                }
                Measured::RatioTo(peer, metric) => {
                    let peers = results.rounds(&of(peer), metric).and_then(Spread::of);
                    let ours = results.rounds(&ours, metric).and_then(Spread::of);
                    ours.zip(peers).map(|(ours, peers)| ours.median / peers.median)
                }
            };
            let reached = match measured {
                None => "not measured".into(),
                Some(value) if bar.limit < 0.0 && value >= -bar.limit => "reached".into(),
                Some(value) if bar.limit >= 0.0 && value <= bar.limit => "reached".into(),
                Some(value) => format!("**missed** by {:.0} %", (value / bar.limit.abs() - 1.0).abs() * 100.0),
            };
            let contenders = if bar.loads.len() > 1 { format!("; {load} contenders") } else { String::new() };
            rows.push(vec![
                bar.backend.into(),
                format!("{}{contenders}", bar.text),
                measured.map_or("-".into(), number),
                reached,
                format!("`cargo xtask bench --backend {} --only {}`", bar.backend, super::document::name(bar.kind)),
            ]);
        }
    }
    Table::new("The bars", &["backend", "bar", "measured", "", "again by"], rows)
}

//! The bars themselves.

use super::Measured::{Above, Figure, Of, Ratio, Worst};
use super::{Asserted, Bar, Limit, Limit::AtLeast, Limit::AtMost, Measured};
use crate::contest::Kind::{self, Command, Handoff, Heartbeats, Recovery, Throughput, Uncontended, Waiting};
use crate::measure::command::FLOOR;

const OVER_1: &str = "over processes, held 1 ms";
const OVER_0: &str = "over processes, held 0 ms";
const APART_1: &str = "over processes, a client each, held 1 ms";
const APART_0: &str = "over processes, a client each, held 0 ms";

const fn bar(
    backend: &'static str,
    text: &'static str,
    (kind, setting, loads): (Kind, &'static str, &'static [u64]),
    of: Measured,
    limit: Limit,
) -> Bar {
    Bar { backend, text, kind, setting, loads, of, limit }
}

const PAIR: (Kind, &str, &[u64]) = (Uncontended, "", &[1]);
const TASKS: (Kind, &str, &[u64]) = (Throughput, "", &[256]);
const HELD: (Kind, &str, &[u64]) = (Heartbeats, "", &[10_000]);
const ALL_HELD: (Kind, &str, &[u64]) = (Heartbeats, "", &[100_000]);
/// Each process has a client, and 64 contenders are eight to a client.
const FEW: (Kind, &str, &[u64]) = (Handoff, OVER_0, &[2, 8, 64]);
const FEW_HELD: (Kind, &str, &[u64]) = (Handoff, OVER_1, &[2, 8, 64]);
/// All 64 stand at the store.
const EACH: (Kind, &str, &[u64]) = (Handoff, APART_0, &[64]);
const EACH_HELD: (Kind, &str, &[u64]) = (Handoff, APART_1, &[64]);

const MEMORY: &str = "distlock, memory backend";
const SHARED: &str = "distlock, shared leases";
const CREATE: &str = "create + write + remove";
const BLPOP: &str = "BLPOP token";
const EVENT: &str = "delete to watch event";
const QUEUE: &str = "queue of bare keys";

pub(super) const BARS: &[Bar] = &[
    bar("file", "acquire + release at most 2.0 x create + write + remove", PAIR, Ratio(CREATE, "p50 us"), AtMost(2.0)),
    bar(
        "file",
        "a waiter of another process is granted a lock within 0.5 ms (p50)",
        FEW_HELD,
        Figure("p50 ms"),
        AtMost(0.5),
    ),
    bar("file", "the same, a client each", EACH_HELD, Figure("p50 ms"), AtMost(0.5)),
    bar(
        "file",
        "a killed holder's lock is granted within 30 ms (the worst round)",
        (Recovery, "killed", &[1_000]),
        Worst("ms"),
        AtMost(30.0),
    ),
    bar(
        "file",
        "`distlock run k -- true` at most 3 ms above `true`",
        (Command, "", &[1]),
        Above(FLOOR, "p50 ms"),
        AtMost(3.0),
    ),
    bar(
        "file",
        "100,000 locks of the memory backend: at most 1 KiB a lock",
        ALL_HELD,
        Of(MEMORY, "bytes/lock"),
        AtMost(1_024.0),
    ),
    bar(
        "file",
        "100,000 locks of the memory backend: under 5 % of a core",
        ALL_HELD,
        Of(MEMORY, "client CPU %"),
        AtMost(5.0),
    ),
    bar(
        "redis",
        "acquire + release at most 1.25 x two EVALSHA of set if absent and delete",
        PAIR,
        Ratio("two EVALSHA", "p50 us"),
        AtMost(1.25),
    ),
    bar(
        "redis",
        "acquire + release at most 1.25 x two EVALSHA of our own scripts",
        PAIR,
        Ratio("our scripts, raw", "p50 us"),
        AtMost(1.25),
    ),
    bar("redis", "acquire + release at or ahead of rslock", PAIR, Ratio("rslock", "p50 us"), AtMost(1.0)),
    bar(
        "redis",
        "256 tasks on distinct keys: at least 0.8 of the same number of EVALSHA of set if absent and delete",
        TASKS,
        Ratio("two EVALSHA", "pairs/s"),
        AtLeast(0.8),
    ),
    bar(
        "redis",
        "256 tasks on distinct keys: at least 0.8 of the same number of EVALSHA of our own scripts",
        TASKS,
        Ratio("our scripts, raw", "pairs/s"),
        AtLeast(0.8),
    ),
    bar("redis", "hand-off over processes at most 1.7 x a BLPOP token (p50)", FEW, Ratio(BLPOP, "p50 ms"), AtMost(1.7)),
    bar("redis", "the same, a client each", EACH, Ratio(BLPOP, "p50 ms"), AtMost(1.7)),
    bar(
        "redis",
        "at most 10 commands a hand-off, whatever the number of waiters",
        FEW,
        Figure("commands"),
        AtMost(10.0),
    ),
    bar("redis", "the same, a client each", EACH, Figure("commands"), AtMost(10.0)),
    bar("redis", "10,000 locks held: under 2 % of a core in the client", HELD, Figure("client CPU %"), AtMost(2.0)),
    bar(
        "etcd",
        "acquire + release at most 1.5 x one put + one delete",
        PAIR,
        Ratio("put + delete", "p50 us"),
        AtMost(1.5),
    ),
    bar(
        "etcd",
        "hand-off over processes at most 1.3 x delete to watch event (p50)",
        FEW,
        Ratio(EVENT, "p50 ms"),
        AtMost(1.3),
    ),
    bar("etcd", "the same, a client each", EACH, Ratio(EVENT, "p50 ms"), AtMost(1.3)),
    bar(
        "etcd",
        "hand-off over processes at most 1.3 x one of a queue of bare keys (p50)",
        FEW_HELD,
        Ratio(QUEUE, "p50 ms"),
        AtMost(1.3),
    ),
    bar("etcd", "the same, a client each", EACH_HELD, Ratio(QUEUE, "p50 ms"), AtMost(1.3)),
    bar("etcd", "hand-off p99 under 30 ms at 2 contenders", (Handoff, OVER_0, &[2]), Figure("p99 ms"), AtMost(30.0)),
    bar("etcd", "10,000 locks held: under 3 % of a core in the client", HELD, Figure("client CPU %"), AtMost(3.0)),
    bar("etcd", "10,000 locks held: at most 4 KB a lock in the client", HELD, Figure("bytes/lock"), AtMost(4_096.0)),
    bar(
        "etcd",
        "10,000 locks held, leases shared: under 5 % of a core in the server",
        HELD,
        Of(SHARED, "server CPU %"),
        AtMost(5.0),
    ),
    bar(
        "consul",
        "acquire + release at most 1.3 x one PUT + one DELETE",
        PAIR,
        Ratio("PUT + DELETE", "p50 us"),
        AtMost(1.3),
    ),
    bar("consul", "hand-off over processes at most 1.2 ms (p50)", FEW, Figure("p50 ms"), AtMost(1.2)),
    bar("consul", "the same, a client each", EACH, Figure("p50 ms"), AtMost(1.2)),
    bar("consul", "at most 5 requests a hand-off", FEW_HELD, Figure("requests"), AtMost(5.0)),
    bar("consul", "the same, a client each", EACH_HELD, Figure("requests"), AtMost(5.0)),
    bar(
        "consul",
        "1,000 locks waited for by one process: at most 8 connections",
        (Waiting, "in one process, each for a lock of its own", &[1_000]),
        Figure("connections"),
        AtMost(8.0),
    ),
];

/// Counts that a test asserts, and that no run of this program can tell better.
pub(super) const ASSERTED: &[Asserted] = &[
    Asserted {
        backend: "redis",
        text: "a hand-off costs as many commands among 128 waiters as among two",
        package: "lock-redis",
        test: "the_cost_of_a_hand_off_does_not_grow_with_the_waiters",
    },
    Asserted {
        backend: "etcd",
        text: "among 1,000 waiters for one lock a hand-off wakes one",
        package: "lock-etcd",
        test: "handoff_among_a_thousand_waiters_wakes_one",
    },
    Asserted {
        backend: "etcd",
        text: "streams to the server don't grow with locks and waiters",
        package: "lock-etcd",
        test: "streams_to_the_server_do_not_grow_with_locks_and_waiters",
    },
    Asserted {
        backend: "consul",
        text: "1,000 waiters in one process share at most 8 connections",
        package: "lock-consul",
        test: "fault_51_a_thousand_waiters_share_eight_connections",
    },
    Asserted {
        backend: "consul",
        text: "a lock-delay of 5 s is waited for with at most 40 requests",
        package: "lock-consul",
        test: "fault_46_lock_delay_is_waited_for_without_a_hot_loop",
    },
];

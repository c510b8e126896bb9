//! A history that grows: the checks walk as much more as it is longer, and not its square.

use super::{Nanos, Patience, violations};
use crate::chaos::check::{takeovers, unavailability};
use crate::chaos::event::{Act, Deed};
use crate::chaos::facts::Facts;
use crate::chaos::history::{Failure, Grant, History, Op, Process};
use crate::chaos::span::WALKED;

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MS;

/// One process that is stopped, in trouble, holds, waits in vain and fails `length` times; in its place others are
/// killed as often. As often a lock is removed and one is broken.
fn history(length: u64) -> History {
    let mut history = History { resources: vec![("k".into(), Vec::new())], ..History::default() };
    let mut steady = Process { name: "client-0.1".into(), ..Process::default() };
    for second in 0..length {
        let at = |ms: u64| second * SECOND + ms * MS;
        steady.stops.push((at(300), at(310)));
        steady.troubles.push((at(400), at(450)));
        let killed = Process {
            name: format!("client-1.{second}"),
            killed: Some(at(620)),
            gone: Some(at(620)),
            ..Process::default()
        };
        history.processes.push(killed);
        let grant = Grant {
            token: second,
            ttl: 300 * MS,
            returned: at(100),
            last_held: at(200),
            deadline: at(600),
            ..Grant::default()
        };
        let of_killed =
            Grant { token: second, returned: at(610), last_held: at(615), deadline: at(900), ..grant.clone() };
        let op = |process, from, to| Op {
            process,
            key: "k".into(),
            waits: true,
            invoked: at(from),
            over: Some(at(to)),
            ..Op::default()
        };
        let (steady, last) = (0, history.processes.len());
        history.ops.extend([
            Op { grant: Some(Grant { let_go: Some(at(250)), ..grant }), ..op(steady, 0, 100) },
            Op { grant: Some(of_killed), ..op(last, 260, 610) },
            Op { error: Some("no".into()), ..op(steady, 460, 500) },
            op(steady, 510, 990),
        ]);
        history.failures.push(Failure { process: steady, since: at(100), at: at(200), error: "no".into() });
        let act = |ms, deed| Act { before: at(ms), after: at(ms + 1), deed };
        history.acts.extend([
            act(50, Deed::Removed { key: "other".into(), tokens: vec![second] }),
            act(700, Deed::Spared { key: "k".into(), token: second }),
            act(800, Deed::Broke { key: "k".into(), token: length + second }),
        ]);
    }
    history.processes.insert(0, steady);
    history
}

/// How many spans are looked at to check it, and how many violations are found.
fn walked(length: u64) -> (usize, usize) {
    let history = history(length);
    WALKED.set(0);
    let facts = Facts::of(&history);
    let found = violations(&facts, Patience { nanos: 50 * MS, waiters_may_hold: true });
    takeovers(&facts, "k");
    unavailability(&facts, "k");
    (WALKED.get(), found.len())
}

#[test]
fn a_history_ten_times_as_long_takes_ten_times_as_many_steps() {
    let ((few, found), (many, found_more)) = (walked(300), walked(3_000));
    assert!(few >= 300 && found >= 300, "{few} steps, {found} violations: it has something to look at");
    assert!((9 * found..=11 * found).contains(&found_more), "{found} and {found_more} violations");
    assert!(many <= 11 * few, "{few} steps, and {many}");
}

//! Ahead of every peer, or the reason in one sentence.

use super::ratios::{ratio, same_of};
use super::tables::{self, Table, number, thousands};
use crate::contest::{Kind, Role};
use crate::figures::Spread;
use crate::results::{About, HELD_BY_TWO, OURS, Of, Results};

/// Why a peer of this store is ahead: written by hand when a run showed that one is. Shown only where one is.
const REASONS: &[(&str, Kind, &str)] = &[
    (
        "file",
        Kind::Uncontended,
        "a bare `flock(2)` writes nothing: no record, no token, no takeover from a hung holder",
    ),
    ("file", Kind::Throughput, "a bare `flock(2)` writes nothing: no record, no token, no takeover from a hung holder"),
    (
        "file",
        Kind::Handoff,
        "the kernel wakes a waiter of `flock(2)` itself; ours sleeps in inotify, with a place in a queue, and asks then",
    ),
    ("redis", Kind::Uncontended, "the peer sets and deletes one key: no token, no record, no queue to look at"),
    ("redis", Kind::Throughput, "the peer sets and deletes one key: no token, no record, no queue to look at"),
    (
        "redis",
        Kind::Handoff,
        "who asks again and again may ask at the right moment; the server pays for all other times",
    ),
    (
        "etcd",
        Kind::Uncontended,
        "with a lease that is kept the peer writes and deletes one key; nobody renews that lease",
    ),
    (
        "etcd",
        Kind::Throughput,
        "with a lease that is kept the peer writes and deletes one key; nobody renews that lease",
    ),
    (
        "etcd",
        Kind::Handoff,
        "the waiting is the server's: one call, where ours lines up by a transaction and has two watches",
    ),
    ("consul", Kind::Uncontended, "the peer keeps no token and no record"),
    ("consul", Kind::Throughput, "the peer keeps no token and no record"),
    (
        "consul",
        Kind::Handoff,
        "everybody asks at once for the key: fast among few, at a price that grows with them, and without turns",
    ),
];

/// One measurement of one setting: ours against the best peer, at the load where that is best.
struct Met<'a> {
    load: u64,
    peer: &'a About,
    /// Above 1 we are ahead.
    ahead: Spread,
    ours: f64,
    theirs: f64,
}

/// For A, B and C of each store: the best peer, and how far we are ahead of it where we are the least.
pub(crate) fn table(all: &[Results]) -> Table {
    let mut rows = Vec::new();
    for results in all {
        for kind in [Kind::Uncontended, Kind::Throughput, Kind::Handoff] {
            for setting in tables::settings(results, kind) {
                rows.extend(row(results, kind, setting));
            }
        }
    }
    let header = ["store", "measured", "at", "distlock", "the best peer", "it", "times as good", ""];
    Table::new("Ahead of every peer", &header, rows)
}

fn row(results: &Results, kind: Kind, setting: &str) -> Option<Vec<String>> {
    let metric = tables::shown(kind).compared;
    let met: Vec<Met> = tables::loads(results, kind, setting)
        .into_iter()
        .filter_map(|load| best(results, &Of { kind, contestant: OURS.into(), setting: setting.into(), load }, metric))
        .collect();
    let least = met.iter().min_by(|a, b| a.ahead.median.total_cmp(&b.ahead.median))?;
    let behind: Vec<String> =
        met.iter().filter(|met| met.ahead.median < 1.0).map(|met| thousands(met.load as f64)).collect();
    let counted = tables::load(kind);
    let verdict = if behind.is_empty() {
        "ahead".to_owned()
    } else {
        let at = counted.map_or(String::new(), |counted| format!(" at {} {counted}", behind.join(", ")));
        let reason = REASONS.iter().find(|(backend, of, _)| *backend == results.backend && *of == kind);
        format!("**behind**{at}: {}", reason.map_or("no reason is known", |(_, _, reason)| reason))
    };
    let what = [tables::letter(kind), setting].join(" ");
    Some(vec![
        results.backend.clone(),
        what.trim().to_owned(),
        counted.map_or("-".into(), |counted| format!("{} {counted}", thousands(least.load as f64))),
        format!("{} {}", number(least.ours), unit(metric)),
        least.peer.name.clone(),
        format!("{} {}", number(least.theirs), unit(metric)),
        format!("{} ({}–{})", number(least.ahead.median), number(least.ahead.min), number(least.ahead.max)),
        verdict,
    ])
}

/// The peer that is the best of those that measured the same. One whose lock two held at once isn't one.
fn best<'a>(results: &'a Results, ours: &Of, metric: &str) -> Option<Met<'a>> {
    let median = |of: &Of| results.rounds(of, metric).and_then(Spread::of).map(|spread| spread.median);
    let sound = |about: &&About| {
        let rounds = results.rounds(&same_of(ours, &about.name), HELD_BY_TWO).unwrap_or_default();
        rounds.iter().all(|round| *round <= 0.0)
    };
    let peers = results.contestants.iter().filter(|about| about.role == Role::Peer).filter(sound);
    let met = peers.filter_map(|peer| {
        let theirs = same_of(ours, &peer.name);
        // Of a rate more is better, of a time less.
        let ahead = if is_rate(metric) {
            ratio(results, ours, &peer.name, metric)?
        } else {
            ratio(results, &theirs, OURS, metric)?
        };
        Some(Met { load: ours.load, peer, ahead, ours: median(ours)?, theirs: median(&theirs)? })
    });
    met.min_by(|a, b| a.ahead.median.total_cmp(&b.ahead.median))
}

fn is_rate(metric: &str) -> bool {
    metric.ends_with("/s")
}

fn unit(metric: &str) -> &str {
    metric.rsplit(' ').next().unwrap_or(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(figures: &[(&str, u64, f64)]) -> Results {
        let mut results = Results::new("redis", "a store".into(), true);
        for (name, load, millis) in figures {
            let setting = "over processes".to_owned();
            results.add(
                &Of { kind: Kind::Handoff, contestant: (*name).into(), setting, load: *load },
                "p50 ms",
                *millis,
            );
        }
        for (name, role) in [(OURS, Role::Ours), ("a", Role::Peer), ("b", Role::Peer), ("floor", Role::Floor)] {
            let (lacks, note, skips) = (Vec::new(), String::new(), Vec::new());
            results.contestants.push(About { name: name.into(), role, lacks, note, skips });
        }
        results
    }

    #[test]
    fn the_best_peer_is_shown_where_it_is_closest() {
        let far = [(OURS, 2, 1.0), ("a", 2, 5.0), ("b", 2, 4.0), ("floor", 2, 0.1)];
        let text = table(&[results(&[&far[..], &[(OURS, 8, 1.0), ("a", 8, 2.0), ("b", 8, 9.0)]].concat())]).text();
        assert!(text.contains("8 contenders") && text.contains("2.00") && text.contains(" a "), "{text}");
        assert!(text.contains("ahead") && !text.contains("behind"), "{text}");
    }

    #[test]
    fn behind_comes_with_a_reason_and_who_excludes_nobody_is_no_peer() {
        let mut results = results(&[(OURS, 2, 2.0), ("a", 2, 1.0), ("b", 2, 0.1)]);
        let broken = Of { kind: Kind::Handoff, contestant: "b".into(), setting: "over processes".into(), load: 2 };
        results.add(&broken, HELD_BY_TWO, 3.0);
        let text = table(&[results]).text();
        assert!(text.contains("behind at 2 contenders: who asks") && text.contains("0.50"), "{text}");
    }
}

//! What each backend has to reach, and what it reached.

mod list;

use super::ratios::{by_round, ratio, same_of};
use super::tables::{Table, number};
use crate::contest::Kind;
use crate::figures::Spread;
use crate::results::{self, OUR_COMMAND, OURS, Results};

struct Bar {
    backend: &'static str,
    text: &'static str,
    kind: Kind,
    setting: &'static str,
    loads: &'static [u64],
    of: Measured,
    limit: Limit,
}

/// By the contestant's name and the metric.
#[derive(Clone, Copy)]
enum Measured {
    /// How many times the other's it is.
    Ratio(&'static str, &'static str),
    Figure(&'static str),
    /// The worst of the rounds.
    Worst(&'static str),
    /// Of another contestant of ours.
    Of(&'static str, &'static str),
    /// How much more our command takes.
    Above(&'static str, &'static str),
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

struct Asserted {
    backend: &'static str,
    text: &'static str,
    package: &'static str,
    test: &'static str,
}

/// The bars of these backends, and how far each was reached.
pub(crate) fn table(all: &[Results]) -> Table {
    let mut rows = Vec::new();
    for results in all {
        for bar in list::BARS.iter().filter(|bar| bar.backend == results.backend) {
            rows.extend(bar.loads.iter().map(|load| row(results, bar, *load)));
        }
        for count in list::ASSERTED.iter().filter(|count| count.backend == results.backend) {
            let again = format!("`cargo xtask test -p {} -- {}`", count.package, count.test);
            rows.push([count.backend, count.text, "-", "asserted by a test", &again].map(str::to_owned).into());
        }
    }
    Table::new("The bars", &["backend", "bar", "measured", "", "again by"], rows)
}

fn row(results: &Results, bar: &Bar, load: u64) -> Vec<String> {
    let load_of = |contestant: &str| results::Of {
        kind: bar.kind,
        contestant: contestant.into(),
        setting: bar.setting.into(),
        load,
    };
    let (ours, other) = match bar.of {
        Measured::Ratio(other, _) => (load_of(OURS), Some(other)),
        Measured::Figure(_) | Measured::Worst(_) => (load_of(OURS), None),
        Measured::Of(name, _) => (load_of(name), None),
        Measured::Above(other, _) => (load_of(OUR_COMMAND), Some(other)),
    };
    let figure = |metric: &str| results.rounds(&ours, metric).and_then(Spread::of);
    let measured = match bar.of {
        Measured::Ratio(other, metric) => ratio(results, &ours, other, metric),
        Measured::Above(other, metric) => by_round(results, &ours, other, metric, |one, other| one - other),
        Measured::Figure(metric) | Measured::Of(_, metric) => figure(metric),
        Measured::Worst(metric) => figure(metric).map(|spread| Spread { median: spread.max, ..spread }),
    };
    let other = other.map(|other| same_of(&ours, other));
    // Who failed once may have been fast until then.
    let failure = results.failure(&ours).or_else(|| other.and_then(|other| results.failure(&other)));
    let left_out = results.left_out.iter().find(|left_out| left_out.of == ours);
    let reached = match (failure, left_out, measured) {
        (Some(failure), _, _) => format!("**failed**: {}: {}", failure.of.contestant, failure.why),
        (_, Some(left_out), _) => format!("not measured: {}", left_out.why),
        (_, _, None) => "not measured".into(),
        (_, _, Some(_)) if gave_none(results, bar, &ours) => "**failed**: a round gave no figure".into(),
        (_, _, Some(spread)) => verdict(bar.backend, spread.median, bar.limit),
    };
    let contenders = if bar.loads.len() > 1 { format!("; {load} contenders") } else { String::new() };
    vec![
        bar.backend.into(),
        format!("{}{contenders}", bar.text),
        measured.map_or("-".into(), |spread| {
            format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
        }),
        reached,
        format!("`cargo xtask bench --backend {} --only {}`", bar.backend, super::document::name(bar.kind)),
    ]
}

fn gave_none(results: &Results, bar: &Bar, ours: &results::Of) -> bool {
    let (Measured::Ratio(_, metric)
    | Measured::Figure(metric)
    | Measured::Worst(metric)
    | Measured::Of(_, metric)
    | Measured::Above(_, metric)) = bar.of;
    results.rounds(ours, metric).is_some_and(|rounds| rounds.iter().any(|round| !round.is_finite()))
}

/// Of what is shown, which has three digits.
fn verdict(backend: &str, value: f64, limit: Limit) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a power of ten")]
    let digits = 10_f64.powi(2 - value.abs().max(f64::MIN_POSITIVE).log10().floor() as i32);
    let value = (value * digits).round() / digits;
    let (reached, limit) = match limit {
        Limit::AtMost(limit) => (value <= limit, limit),
        Limit::AtLeast(limit) => (value >= limit, limit),
    };
    if reached {
        return "reached".into();
    }
    // The page says there where the time goes, and what was tried.
    format!("**missed** by {:.0} % ([why](#{backend}))", (value / limit - 1.0).abs() * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(rounds: &[f64]) -> Results {
        let mut results = Results::new("redis", "a store".into(), true);
        for round in rounds {
            results.add(&of(OURS), "client CPU %", *round);
        }
        results
    }

    fn of(contestant: &str) -> results::Of {
        let setting = String::new();
        results::Of { kind: Kind::Heartbeats, contestant: contestant.into(), setting, load: 10_000 }
    }

    fn told(results: Results) -> String {
        let text = table(&[results]).text();
        text.lines().find(|line| line.contains("10,000 locks held")).expect("the bar is there").to_owned()
    }

    #[test]
    fn a_bar_is_reached_by_the_median() {
        assert!(told(redis(&[1.0, 1.9, 9.0])).contains("reached"));
        assert!(told(redis(&[1.0, 3.0, 9.0])).contains("missed by 50 %"));
        assert!(told(redis(&[])).contains("not measured"));
    }

    #[test]
    fn who_failed_in_part_has_not_reached_it() {
        let mut results = redis(&[1.0, 1.0]);
        results.fail(of(OURS), "it lost 3 of 10,000".into());
        assert!(told(results).contains("failed: distlock: it lost 3"));
        assert!(told(redis(&[1.0, f64::NAN])).contains("a round gave no figure"));
    }
}

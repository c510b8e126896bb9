//! Tables: the ratios to the floors first.

use std::fmt::Write as _;

use super::ratios;
use crate::contest::{Kind, Role};
use crate::figures::Spread;
use crate::results::{HELD_BY_TWO, Of, Results};

/// One table.
pub(crate) struct Table {
    pub(crate) title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// A figure that is compared, and those shown beside it.
pub(crate) struct Shown {
    pub(crate) compared: &'static str,
    others: &'static [&'static str],
    /// The others, too, with least and most.
    with_spread: bool,
}

/// What is shown of each measurement. The first is compared with the floor's.
pub(crate) fn shown(kind: Kind) -> Shown {
    let (compared, others): (_, &[_]) = match kind {
        Kind::Uncontended => ("p50 us", &["p99 us", "commands", "requests", "bytes sent", "bytes received"]),
        Kind::Throughput => ("pairs/s", &["p50 us", "p99 us"]),
        Kind::Handoff => (
            "p50 ms",
            &[
                "p99 ms",
                "hand-offs/s",
                "back %",
                "same process %",
                "least/most",
                "commands",
                "requests",
                "bytes",
                "connections",
                HELD_BY_TWO,
            ],
        ),
        Kind::Heartbeats => {
            ("client CPU %", &["server CPU %", "bytes/lock", "wake-ups/s", "commands/s", "acquired in s"])
        }
        Kind::Recovery => ("ms", &[]),
        Kind::Waiting => ("client CPU %", &["server CPU %", "commands/s", "connections"]),
        Kind::Command => ("p50 ms", &["p99 ms"]),
    };
    Shown { compared, others, with_spread: matches!(kind, Kind::Heartbeats | Kind::Waiting) }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Uncontended => "A. Acquire + release of a lock that nobody else wants",
        Kind::Throughput => "B. Acquire + release on distinct keys, by tasks of one process",
        Kind::Handoff => "C. Release to the next grant, among contenders that come back at once",
        Kind::Heartbeats => "D. Locks held and renewed by one process",
        Kind::Recovery => "E. From the holder's end to the grant of a waiter in another process",
        Kind::Waiting => "Waiting while nothing happens",
        Kind::Command => "F. The command `true`, run under a lock",
    }
}

/// What the load counts.
pub(crate) fn load(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Uncontended | Kind::Command => None,
        Kind::Throughput => Some("tasks"),
        Kind::Handoff => Some("contenders"),
        Kind::Heartbeats => Some("locks"),
        Kind::Recovery => Some("TTL ms"),
        Kind::Waiting => Some("waiters"),
    }
}

/// The letter of those that have one.
pub(crate) fn letter(kind: Kind) -> &'static str {
    title(kind).split_once('.').map_or("", |(letter, _)| letter)
}

/// The tables of one measurement, one for each setting.
pub(crate) fn of(results: &Results, kind: Kind) -> Vec<Table> {
    settings(results, kind).into_iter().map(|setting| table(results, kind, setting)).collect()
}

/// Its settings, in the order in which they were measured.
pub(crate) fn settings(results: &Results, kind: Kind) -> Vec<&str> {
    let mut settings: Vec<&str> = Vec::new();
    for of in all(results) {
        if of.kind == kind && !settings.contains(&of.setting.as_str()) {
            settings.push(&of.setting);
        }
    }
    settings
}

/// The loads of one setting, the least first.
pub(crate) fn loads(results: &Results, kind: Kind, setting: &str) -> Vec<u64> {
    let mut loads: Vec<u64> =
        all(results).filter(|of| of.kind == kind && of.setting == setting).map(|of| of.load).collect();
    loads.sort_unstable();
    loads.dedup();
    loads
}

fn table(results: &Results, kind: Kind, setting: &str) -> Table {
    let here = |of: &Of| of.kind == kind && of.setting == setting;
    let shown = shown(kind);
    let measured = |metric: &str| results.figures.iter().any(|figure| here(&figure.of) && figure.metric == metric);
    let others: Vec<&str> = shown.others.iter().copied().filter(|metric| measured(metric)).collect();
    let loads = loads(results, kind, setting);
    let of = |contestant: &str, load| Of { kind, contestant: contestant.into(), setting: setting.into(), load };
    let mut floors: Vec<&str> = Vec::new();
    for load in &loads {
        for about in ratios::floors(results, &of("", *load), shown.compared) {
            if !floors.contains(&about.name.as_str()) {
                floors.push(&about.name);
            }
        }
    }
    let mut header: Vec<String> = load(kind).map(str::to_owned).into_iter().collect();
    header.push(String::new());
    header.extend(floors.iter().map(|floor| format!("to {floor}")));
    header.extend([shown.compared].into_iter().chain(others.iter().copied()).map(str::to_owned));
    let mut rows = Vec::new();
    for load_now in loads {
        for about in &results.contestants {
            let of = of(&about.name, load_now);
            let mut row: Vec<String> = load(kind).map(|_| thousands(load_now as f64)).into_iter().collect();
            row.push(if about.role == Role::Ours { format!("**{}**", about.name) } else { about.name.clone() });
            let left_out = results.left_out.iter().find(|left_out| left_out.of == of);
            if let Some(failure) = results.failure(&of).or(left_out) {
                row.extend(vec!["-".to_owned(); floors.len()]);
                row.push(format!("- {}", failure.why.lines().next().unwrap_or_default().replace('|', "/")));
            } else if let Some(rounds) = results.rounds(&of, shown.compared) {
                for floor in &floors {
                    let ratio = ratios::ratio(results, &of, floor, shown.compared);
                    row.push(ratio.filter(|_| *floor != about.name).map_or("-".into(), |ratio| number(ratio.median)));
                }
                row.push(spread(rounds));
                let cell = if shown.with_spread { spread } else { median };
                row.extend(others.iter().map(|metric| results.rounds(&of, metric).map_or("-".into(), cell)));
            } else {
                continue;
            }
            row.resize(header.len(), String::new());
            rows.push(row);
        }
    }
    let of_setting = if setting.is_empty() { String::new() } else { format!(": {setting}") };
    Table { title: format!("{}{of_setting}", title(kind)), header, rows }
}

/// All that was measured, that failed, and that was left out.
fn all(results: &Results) -> impl Iterator<Item = &Of> {
    let none = results.failures.iter().chain(&results.left_out);
    results.figures.iter().map(|figure| &figure.of).chain(none.map(|none| &none.of))
}

/// `12.3 (11.0–14.0)`: median, least and most.
pub(crate) fn spread(rounds: &[f64]) -> String {
    match Spread::of(rounds) {
        Some(spread) if spread.one_value() => number(spread.median),
        Some(spread) => format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max)),
        None => "-".into(),
    }
}

fn median(rounds: &[f64]) -> String {
    Spread::of(rounds).map_or("-".into(), |spread| number(spread.median))
}

/// With three digits or more.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        small if small < 0.1 => format!("{value:.3}"),
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => thousands(value),
    }
}

pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Table {
    pub(crate) fn new(title: &str, header: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { title: title.into(), header: header.iter().map(|cell| (*cell).into()).collect(), rows }
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.header]).filter_map(|row| row.get(column));
            cells.map(|cell| plain(cell).chars().count()).max().unwrap_or(0).min(60)
        };
        let mut text = format!("\n{}\n", self.title);
        for row in std::iter::once(&self.header).chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                let (cell, width) = (plain(cell), width(column));
                let _ = write!(text, "  {cell:<width$}");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    /// For docs/benchmarks.md.
    pub(crate) fn markdown(&self) -> String {
        let line = |row: &[String]| format!("| {} |\n", row.join(" | "));
        let rule = line(&vec!["---".to_owned(); self.header.len()]);
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{rule}{rows}", line(&self.header))
    }
}

fn plain(cell: &str) -> String {
    cell.replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::{number, thousands};

    #[test]
    fn numbers_are_short_and_say_enough() {
        let shown = [0.0, 0.012_34, 1.234, 12.34, 1234.5, 1_234_567.0].map(number);
        assert_eq!(shown, ["0", "0.012", "1.23", "12.3", "1,234", "1,234,567"]);
        assert_eq!(thousands(-1000.0), "-1,000");
    }
}

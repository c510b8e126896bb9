//! The table at the end of a run.

use std::fmt::Write;

use super::check::{Invariant, Violation, takeovers, unavailability};
use super::driver::Done;
use super::event::Nanos;
use super::facts::Facts;
use super::plan::Fault;

/// What a run came to, for people.
pub(super) fn table(facts: &Facts, done: &Done, found: &[Violation]) -> String {
    let (history, mut text) = (facts.history, String::new());
    let mut row = |name: &str, value: String| writeln!(text, "  {name:<26} {value}").expect("text takes all");
    let grants: Vec<_> = history.ops.iter().filter_map(|op| op.grant.as_ref()).collect();
    let writes: usize =
        history.resources.iter().map(|(_, steps)| steps.iter().filter(|step| step.writes).count()).sum();
    let refused: usize = grants.iter().map(|grant| grant.refused.len()).sum();
    let lost = grants.iter().filter(|grant| grant.lost.is_some()).count();
    row("events", history.events.to_string());
    row("clients", history.processes.len().to_string());
    row("acquires", history.ops.len().to_string());
    row("grants", format!("{}, {lost} of them lost", grants.len()));
    row("fenced writes", format!("{writes}, and {refused} refused"));
    row("releases by strangers", history.trespasses.len().to_string());
    row("faults", done.values().sum::<usize>().to_string());
    for fault in Fault::ALL {
        row(&format!("  {}", fault.name()), done.get(&fault).copied().unwrap_or_default().to_string());
    }
    let mut took: Vec<Nanos> = history.resources.iter().flat_map(|(key, _)| takeovers(facts, key)).collect();
    took.sort_unstable();
    let middle = took.get(took.len() / 2).copied().map_or_else(|| "-".to_owned(), ms);
    let most = took.last().copied().map_or_else(|| "-".to_owned(), ms);
    row("takeovers after a kill", format!("{}, p50 {middle}, max {most}", took.len()));
    for (key, _) in &history.resources {
        let longest = unavailability(facts, key);
        let told = longest.map(|gap| format!("{}, at {}", ms(gap.to - gap.from), ms(gap.from - history.start)));
        row(&format!("unavailable, {key}"), told.unwrap_or_else(|| "-".to_owned()));
    }
    row("violations", found.len().to_string());
    for invariant in Invariant::ALL {
        let number = found.iter().filter(|violation| violation.invariant == invariant).count();
        row(&format!("  {}", invariant.name()), number.to_string());
    }
    text
}

fn ms(nanos: Nanos) -> String {
    format!("{}.{:01} ms", nanos / 1_000_000, nanos / 100_000 % 10)
}

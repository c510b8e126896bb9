//! docs/benchmarks.md: the parts between marks are written anew, all else is left as it is.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{ahead, bars, plots, tables};
use crate::contest::Kind;
use crate::results::Results;

const KINDS: [Kind; 7] = [
    Kind::Uncontended,
    Kind::Throughput,
    Kind::Handoff,
    Kind::Heartbeats,
    Kind::Recovery,
    Kind::Waiting,
    Kind::Command,
];

/// The name of a measurement on the command line.
pub(crate) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Uncontended => "uncontended",
        Kind::Throughput => "throughput",
        Kind::Handoff => "handoff",
        Kind::Heartbeats => "heartbeats",
        Kind::Recovery => "recovery",
        Kind::Waiting => "waiting",
        Kind::Command => "command",
    }
}

/// Writes `benchmarks.md` and the plots of what is in `benchmarks/*.json`, below `docs`.
pub(crate) fn write(docs: &Path) -> Result<()> {
    let directory = docs.join("benchmarks");
    let mut all = Vec::new();
    for backend in ["file", "redis", "etcd", "consul"] {
        let path = directory.join(format!("{backend}.json"));
        if path.exists() {
            all.push(Results::load(&path)?);
        }
    }
    let page = docs.join("benchmarks.md");
    let mut text = std::fs::read_to_string(&page).unwrap_or_default();
    for results in &all {
        for plot in plots::ALL.iter().filter(|plot| plot.has_lines(results)) {
            plot.draw(results, &directory.join(plot.file(results)))?;
        }
        text = replace(&text, &results.backend, &backend(results));
    }
    text = replace(&text, "bars", &bars::table(&all).markdown());
    text = replace(&text, "ahead", &ahead::table(&all).markdown());
    std::fs::write(&page, text).with_context(|| page.display().to_string())
}

/// `text` with what is between the marks of `part` replaced; at its end, if there are none.
fn replace(text: &str, part: &str, by: &str) -> String {
    let begin = format!("<!-- measured: {part} (written by cargo xtask bench: changes here are lost) -->");
    let end = format!("<!-- end of {part} -->");
    let block = format!("{begin}\n\n{}\n\n{end}", by.trim());
    match (text.find(&begin), text.find(&end)) {
        (Some(from), Some(to)) if from < to => format!("{}{block}{}", &text[..from], &text[to + end.len()..]),
        _ => format!("{}\n\n{block}\n", text.trim_end()),
    }
}

fn backend(results: &Results) -> String {
    let minutes = (results.seconds / 60.0).ceil();
    let mut text =
        format!("Measured on {} in {minutes} minutes; {}; {}.\n", results.date, results.machine, results.store);
    if results.quick {
        text += "\n**A trial run (`--quick`): it shows that everything runs, and no figure here is to be believed.**\n";
    }
    for kind in KINDS {
        let tables = tables::of(results, kind);
        for table in &tables {
            let _ = write!(text, "\n**{}**\n\n{}", table.title, table.markdown());
        }
        if tables.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n`cargo xtask bench --backend {} --only {}`", results.backend, name(kind));
        for plot in plots::ALL.iter().filter(|plot| plot.kind == kind && plot.has_lines(results)) {
            let _ = writeln!(text, "\n![{}](benchmarks/{})", plot.title, plot.file(results));
        }
    }
    text + "\n**Who was compared, and what each doesn't do**\n\n" + &peers(results)
}

fn peers(results: &Results) -> String {
    let mut text = "| | lacks | |\n|---|---|---|\n".to_owned();
    for about in &results.contestants {
        let lacks = if about.lacks.is_empty() { "-".into() } else { about.lacks.join(", ") };
        let mut skips: Vec<String> = Vec::new();
        for (kind, why) in about.skips.iter().filter(|(_, why)| why != "a command") {
            skips.push(format!("not in {}: {why}", name(*kind)));
        }
        let notes: Vec<&str> = [about.note.as_str()].into_iter().chain(skips.iter().map(String::as_str)).collect();
        let notes: Vec<&str> = notes.into_iter().filter(|note| !note.is_empty()).collect();
        let _ = writeln!(text, "| {} | {lacks} | {} |", about.name, notes.join("; "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let first = replace("before\n", "file", "one");
        assert!(first.starts_with("before\n") && first.contains("\none\n"), "{first}");
        let second = replace(&(first + "after\n"), "file", "two");
        assert!(second.starts_with("before\n") && second.ends_with("after\n"), "{second}");
        assert!(second.contains("\ntwo\n") && !second.contains("one"), "{second}");
    }
}

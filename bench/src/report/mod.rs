//! What is shown of the figures: tables on the terminal and in docs/benchmarks.md, and plots.

mod ahead;
mod bars;
mod document;
mod plots;
mod ratios;
mod tables;

pub(crate) use document::write;

use crate::contest::Kind;
use crate::results::Results;

/// One measurement's tables, for the terminal.
pub(crate) fn text(results: &Results, kind: Kind) -> String {
    tables::of(results, kind).iter().map(tables::Table::text).collect()
}

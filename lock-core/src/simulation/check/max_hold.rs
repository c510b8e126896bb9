//! A guard's own limit (`max_hold`) is kept: nobody believes longer, and nobody is told of it sooner.

use std::time::Duration;

use super::holding::{Acquisition, Holding, Story, s};
use crate::simulation::clock::{Nanos, nanos};
use crate::simulation::history::Op;

/// The host's clock may be 1 % fast or slow.
const FAST: f64 = 0.989;
const SLOW: f64 = 1.011;
/// Timers are good to a millisecond.
const GRAIN: Nanos = 2_000_000;

pub(super) fn check(story: &Story) -> Vec<String> {
    story.holdings().filter_map(|(op, acquisition, holding)| of_one(story, op, acquisition, holding)).collect()
}

fn of_one(story: &Story, op: Op, acquisition: &Acquisition, holding: &Holding) -> Option<String> {
    let told = holding.lost.filter(|(_, reason, _)| *reason == "max-hold").map(|(at, ..)| at);
    let Some(limit) = acquisition.max_hold else {
        return told.map(|at| format!("(e) #{op} has no max_hold, and was lost because of it at {}", s(at)));
    };
    // It counts from when the reply was taken in: after the store's grant, and before the call's end.
    let end = holding.returned + within(limit, SLOW) + GRAIN;
    if holding.promised() > end {
        let (until, end) = (s(holding.promised()), s(end));
        return Some(format!("(b) #{op} has max_hold {limit:?}, over at {end}, and was promised until {until}"));
    }
    let at = told?;
    let from = story.granted(acquisition, holding)?;
    (at + GRAIN < from + within(limit, FAST)).then(|| {
        let (from, at) = (s(from), s(at));
        format!("(e) #{op}, granted at {from}, has max_hold {limit:?} and was lost because of it at {at} already")
    })
}

fn within(limit: Duration, rate: f64) -> Nanos {
    nanos(limit.mul_f64(rate))
}

//! (c) The resource takes nothing below the highest token it saw, and (d) loses no update.

use std::collections::HashMap;

use crate::simulation::history::{Event, What};

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let mut resources: HashMap<&str, (u64, u64)> = HashMap::new();
    let mut found = Vec::new();
    for event in events {
        let What::Write { key, token, value, accepted: true } = &event.what else { continue };
        let (highest, last) = resources.entry(key).or_default();
        if token < highest {
            found.push(format!("(c) the resource {key} took a write with token {token} after one with {highest}"));
        }
        if *value != *last + 1 {
            found.push(format!("(d) the counter {key} went from {last} to {value}: an update was lost"));
        }
        (*highest, *last) = (*token, *value);
    }
    found
}

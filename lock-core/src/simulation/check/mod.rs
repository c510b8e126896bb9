//! What must hold in every history of a trial, whatever its faults were. Nothing slower than sorting.

mod calls;
mod disturbed;
mod exclusion;
mod grants;
mod handed_out;
mod holding;
mod liveness;
mod losses;
mod max_hold;
mod refused;
mod resource;
mod spans;
mod tokens;

use super::history::Event;
use super::trial::Phases;
use holding::Story;

/// What must not have happened, in words.
pub(super) fn violations(events: &[Event], phases: Phases) -> Vec<String> {
    let story = Story::of(events, phases);
    let mut found = tokens::check(&story);
    found.extend(exclusion::check(&story));
    found.extend(handed_out::check(&story));
    found.extend(losses::check(&story));
    found.extend(max_hold::check(&story));
    found.extend(refused::check(&story));
    found.extend(resource::check(events));
    found.extend(calls::check(&story, events));
    found.extend(liveness::check(&story));
    found
}

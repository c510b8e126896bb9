//! What becomes of one process when all others stand still for ever, where they are.

use super::state::{At, Mark, NONE, PROCESSES, State, TTL};
use super::step::{Choice, Stepper};
use super::{FileScheme, tick};

/// More steps than an end of any call and a whole acquire have.
const STEPS: u32 = 80;

/// Once all leases are over, each process can be granted the lock, wherever the others stopped.
pub(super) fn is_granted_in_time(scheme: &FileScheme, state: &State) -> bool {
    let mut later = *state;
    for _ in 0..=TTL {
        tick(&mut later);
    }
    (0..PROCESSES).all(|index| goes_on(scheme, later, index))
}

/// The same without any waiting, when the lock is free or its holder has died.
pub(super) fn is_granted_at_once(scheme: &FileScheme, state: &State) -> bool {
    let held_by = state.top().filter(|top| matches!(state.file(*top).mark, Mark::Held(_)));
    let holder = held_by.and_then(|top| state.processes.iter().position(|process| process.own == top));
    (0..PROCESSES).all(|index| holder.is_some_and(|holder| holder != index) || goes_on(scheme, *state, index))
}

/// Ends the call under way, if there is one, and begins another until it is granted.
fn goes_on(scheme: &FileScheme, mut state: State, index: usize) -> bool {
    for _ in 0..STEPS {
        let process = state.processes[index];
        let choice = match process.at {
            At::Idle => Choice::Acquire,
            At::Granted if process.sent > 0 => return true,
            At::Granted => Choice::AskAgain,
            At::Have if process.belief > 0 && !process.broken => return true,
            At::Have => Choice::Release,
            _ => Choice::GoOn,
        };
        // Files that nobody has are forgotten before there is no room for more.
        if process.own == NONE && usize::from(state.len) + 1 >= state.files.len() {
            state = super::canonical(&state);
            return goes_on_from(scheme, &state, process.name);
        }
        Stepper { state: &mut state, index, removed: scheme.removed }.take(choice);
    }
    false
}

fn goes_on_from(scheme: &FileScheme, state: &State, name: u8) -> bool {
    state.processes.iter().position(|process| process.name == name).is_some_and(|index| goes_on(scheme, *state, index))
}

//! The file scheme: what `lock-file` does, one system call or less at a time.
//!
//! A process may be paused at every step, since any other may go first; and killed at every step,
//! which frees its kernel locks. The clock goes on at any time. Times are relative to now, and gaps
//! between numbers are closed, so that neither has an end by itself; [`Limits`] bounds how much
//! happens.

mod alone;
mod canonical;
mod guard;
mod state;
mod step;

use stateright::{Model, Property};

pub use guard::Guard;
pub use state::{At, FILES, File, Limits, Mark, PROCESSES, Process, Ref, State, TTL};
pub use step::Choice;

use canonical::canonical;
use state::{NONE, PAST, Rule};
use step::Stepper;

/// The scheme, whole or without one guard.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileScheme {
    /// What is taken out.
    pub removed: Option<Guard>,
    /// How many of the processes do anything.
    pub processes: u8,
    /// How much may happen.
    pub limits: Limits,
    /// Whether each state is also asked what becomes of a process when all others stand still.
    pub alone: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The clock goes on.
    Tick,
    /// A process, by its place in the state, takes a step.
    Step(usize, Choice),
    /// A process is killed.
    Crash(usize),
}

impl FileScheme {
    fn apply(&self, state: &mut State, action: Action) {
        state.limits.spend(action);
        match action {
            Action::Tick => tick(state),
            Action::Step(index, choice) => Stepper { state, index, removed: self.removed }.take(choice),
            Action::Crash(index) => Stepper { state, index, removed: self.removed }.crash(),
        }
    }
}

/// All that is still to come is nearer by one.
fn tick(state: &mut State) {
    let len = usize::from(state.len);
    for file in &mut state.files[..len] {
        if let Mark::Held(left) = &mut file.mark {
            *left = (*left - 1).max(PAST);
        }
    }
    for process in &mut state.processes {
        process.belief = (process.belief - 1).max(0);
        process.sent = (process.sent - 1).max(0);
        let is_time = matches!(
            process.at,
            At::Read | At::Clock | At::ForwardWrite | At::RenewWrite | At::RenewNext | At::RenewIsAt | At::RenewClock
        );
        if is_time {
            process.time = (process.time - 1).max(PAST);
        }
    }
}

impl Model for FileScheme {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.limits)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.limits.ticks > 0 {
            actions.push(Action::Tick);
        }
        for (index, process) in state.processes.iter().enumerate() {
            if process.name > self.processes {
                continue;
            }
            process.choices(self.removed, |choice| {
                if state.limits.allow(choice) {
                    actions.push(Action::Step(index, choice));
                }
            });
            if state.limits.crashes > 0 && (process.at != At::Idle || process.own != NONE) {
                actions.push(Action::Crash(index));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        self.apply(&mut next, action);
        Some(canonical(&next))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one believes that it holds the lock", |_, state: &State| {
                state.processes.iter().filter(|process| process.belief > 0 && !process.broken).count() <= 1
            }),
            Property::always("what one believes is what the directory says", |_, state: &State| {
                state.processes.iter().all(|process| believes_the_truth(state, process))
            }),
            Property::always("the highest generation stays", |_, state: &State| {
                state.top().map_or(0, |top| state.file(top).at) == state.highest
            }),
            Property::always("no number is granted twice", |_, state: &State| !state.broke(Rule::NumberOnce)),
            Property::always("tokens rise", |_, state: &State| !state.broke(Rule::TokensRise)),
            Property::always("a record with a successor isn't renewed", |_, state: &State| {
                !state.broke(Rule::NotRevived)
            }),
            Property::always("what was taken is not released", |_, state: &State| !state.broke(Rule::ReleasedOwn)),
            Property::always("who looks is no holder", |_, state: &State| !state.broke(Rule::HeldByHolder)),
            Property::always("a release is no crash", |_, state: &State| !state.broke(Rule::ReleaseIsNoCrash)),
            Property::always("a break hits one holder", |_, state: &State| !state.broke(Rule::BreakHitsOne)),
            Property::always(
                "who is left alone is granted a lock that nobody holds, at once",
                |model: &FileScheme, state: &State| !model.alone || alone::is_granted_at_once(model, state),
            ),
            Property::always(
                "who is left alone is granted the lock after a TTL",
                |model: &FileScheme, state: &State| !model.alone || alone::is_granted_in_time(model, state),
            ),
            Property::sometimes("a lock is taken from a holder that hangs", |_, state: &State| {
                state.files().iter().any(|file| file.succeeded && matches!(file.mark, Mark::Held(_)))
                    && state.processes.iter().any(|process| process.belief > 0)
            }),
        ]
    }
}

fn believes_the_truth(state: &State, process: &Process) -> bool {
    if process.belief == 0 || process.broken {
        return true;
    }
    let own = state.file(process.own);
    let says = matches!(own.mark, Mark::Held(left) if left >= process.belief);
    says && state.top() == Some(process.own)
}

//! States that differ in names alone are one state: processes, open files, numbers, tokens.
//!
//! Nothing in the scheme asks how large a number or a token is, only which is greater and which
//! follows which. So gaps between the numbers that are in use are closed as far as no order and
//! no "follows" changes. That is what makes the generations, the tokens and the clock unbounded in
//! a finite model.

use super::state::{At, FILES, File, GONE, Mark, NONE, PROCESSES, Process, Ref, State};

/// A gap between two numbers in use is no wider than this: a number may be followed by one that
/// is published, and that one by another, before the next in use comes.
const GAP: u8 = 3;

type Key = ([u8; 9], [Option<File>; 2]);

const ORDERS: [[usize; PROCESSES]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The same state, as it is written.
pub(super) fn canonical(state: &State) -> State {
    let mut state = *state;
    forget_what_nobody_reads(&mut state);
    forget_files(&mut state);
    compress_numbers(&mut state);
    compress_tokens(&mut state);
    let keys = state.processes.map(|process| key(&state, &process));
    let mut best: Option<State> = None;
    for order in ORDERS {
        if order.windows(2).any(|pair| keys[pair[0]] > keys[pair[1]]) {
            continue;
        }
        let candidate = arranged(&state, order);
        if best.is_none_or(|best| candidate.bytes() < best.bytes()) {
            best = Some(candidate);
        }
    }
    best.unwrap_or(state)
}

/// Everything about a process that doesn't depend on how files are called.
fn key(state: &State, process: &Process) -> Key {
    let file = |file: Ref| (file < GONE).then(|| *state.file(file));
    (process.key(), [file(process.own), file(process.seen)])
}

/// What can't be asked for any more is as if it had never been.
fn forget_what_nobody_reads(state: &mut State) {
    let top = state.top();
    for index in 0..usize::from(state.len) {
        let name = u8::try_from(index).unwrap_or(NONE);
        let is_read = |process: &Process| {
            process.seen == name && matches!(process.at, At::Clock | At::Read | At::Probe | At::Unlock | At::Reread)
        };
        let owner = state.processes.iter().find(|process| process.own == name).map(|process| process.at);
        let read = top == Some(name) || state.processes.iter().any(is_read);
        let file = &mut state.files[index];
        if owner.is_none() {
            (file.succeeded, file.reused) = (false, false);
            if !read {
                (file.mark, file.token, file.of_break) = (Mark::Released, 0, false);
            }
        }
        // Out of its place for good: it is neither renewed nor released nor taken forward.
        let confirmed = !matches!(owner, None | Some(At::Publish | At::ListAgain | At::LookAgain));
        if confirmed && !read && file.at == 0 {
            file.reused = false;
            if !matches!(owner, Some(At::Granted | At::RenewWrite | At::RenewNext | At::RenewIsAt | At::RenewClock)) {
                (file.mark, file.token) = (Mark::Released, 0);
            }
        }
    }
    // After the assessment, all that is asked of a file is whether it is in its place.
    for index in 0..PROCESSES {
        let process = state.processes[index];
        let assessed = matches!(process.at, At::Prepare | At::Publish | At::ListAgain | At::LookAgain);
        if assessed && process.seen < GONE && state.file(process.seen).at == 0 {
            state.processes[index].seen = GONE;
        }
    }
}

/// Files that are neither in the directory nor open are gone.
fn forget_files(state: &mut State) {
    let mut names = [NONE; FILES];
    let (old, len) = (state.files, usize::from(state.len));
    state.files = [File::NOTHING; FILES];
    state.len = 0;
    for index in 0..len {
        let name = u8::try_from(index).unwrap_or(NONE);
        let open = state.processes.iter().any(|process| process.own == name || process.seen == name);
        if old[index].at > 0 || open {
            names[index] = state.add(old[index]);
        }
    }
    rename(state, &names);
}

fn rename(state: &mut State, names: &[Ref; FILES]) {
    let name = |old: Ref| names.get(usize::from(old)).copied().unwrap_or(old);
    for process in &mut state.processes {
        (process.own, process.seen) = (name(process.own), name(process.seen));
    }
}

/// Processes in this order; files by number, and then as the processes have them.
fn arranged(state: &State, order: [usize; PROCESSES]) -> State {
    let mut new = *state;
    new.processes = order.map(|index| state.processes[index]);
    let mut places: [(u8, u8, usize); FILES] = std::array::from_fn(|index| (u8::MAX, u8::MAX, index));
    for (index, file) in state.files().iter().enumerate() {
        let name = u8::try_from(index).unwrap_or(NONE);
        let mut opened = new.processes.iter().flat_map(|process| [process.own, process.seen]);
        let first = opened.position(|file| file == name).map_or(u8::MAX, |at| u8::try_from(at).unwrap_or(u8::MAX));
        places[index] = if file.at > 0 { (0, file.at, index) } else { (1, first, index) };
    }
    places.sort_unstable();
    let mut names = [NONE; FILES];
    for (place, (_, _, index)) in places.iter().enumerate().take(usize::from(state.len)) {
        names[*index] = u8::try_from(place).unwrap_or(NONE);
        new.files[place] = state.files[*index];
    }
    rename(&mut new, &names);
    new
}

fn compress_numbers(state: &mut State) {
    let mut used = 0_u64;
    numbers(state, |number| {
        used |= 1 << *number;
    });
    // 0 is the empty directory, and 1 what is published into it.
    used |= 1;
    let map = compressed(used);
    if let Some(map) = map {
        numbers(state, |number| *number = map[usize::from(*number)]);
    }
}

/// All numbers of generations that somebody knows of.
fn numbers(state: &mut State, mut each: impl FnMut(&mut u8)) {
    each(&mut state.highest);
    for file in &mut state.files {
        each(&mut file.at);
    }
    for process in &mut state.processes {
        each(&mut process.own_number);
        each(&mut process.seen_number);
        let mut left = std::mem::take(&mut process.older);
        while left != 0 {
            let mut number = u8::try_from(left.trailing_zeros()).unwrap_or(0);
            left &= left - 1;
            each(&mut number);
            process.older |= 1 << number;
        }
    }
}

fn compress_tokens(state: &mut State) {
    let mut used = 1_u64;
    tokens(state, |token| {
        used |= 1 << *token;
    });
    if let Some(map) = compressed(used) {
        tokens(state, |token| *token = map[usize::from(*token)]);
    }
}

fn tokens(state: &mut State, mut each: impl FnMut(&mut u8)) {
    each(&mut state.greatest);
    let len = usize::from(state.len);
    for file in &mut state.files[..len] {
        each(&mut file.token);
    }
    for process in &mut state.processes {
        each(&mut process.token);
    }
}

/// What each number in use becomes; `None` when all stay.
fn compressed(used: u64) -> Option<[u8; 64]> {
    let mut map = [0; 64];
    let (mut last, mut new, mut changes) = (0, 0, false);
    let mut left = used;
    while left != 0 {
        let number = u8::try_from(left.trailing_zeros()).unwrap_or(0);
        left &= left - 1;
        new += (number - last).min(GAP);
        map[usize::from(number)] = new;
        changes |= new != number;
        last = number;
    }
    changes.then_some(map)
}

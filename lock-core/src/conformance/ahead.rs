//! Tests that mostly wait, begun before their turn.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Runs tests on threads of its own, several at once; each `#[test]` then only asks how its part ended.
///
/// Cargo runs as many tests at once as the machine has cores. Tests that wait for leases to expire use no core
/// meanwhile: two cores would wait for them in pairs.
///
/// Whoever picks a single test gets the others in the background, until the process ends.
pub struct Ahead(Arc<Inner>);

struct Inner {
    names: Vec<&'static str>,
    body: Box<dyn Fn(&'static str) + Send + Sync>,
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    waiting: VecDeque<&'static str>,
    /// What a test said when it failed.
    ends: HashMap<&'static str, Result<(), String>>,
}

impl Ahead {
    /// Begins the tests, in this order, `at_once` of them at a time. `body` runs the one of that name, and panics when
    /// it fails.
    pub fn begin(
        at_once: usize,
        names: impl IntoIterator<Item = &'static str>,
        body: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let state = Mutex::new(State { waiting: names.iter().copied().collect(), ends: HashMap::new() });
        let inner = Arc::new(Inner { names, body: Box::new(body), state, ended: Condvar::new() });
        for _ in 0..at_once {
            let inner = inner.clone();
            thread::spawn(move || while inner.next() {});
        }
        Self(inner)
    }

    /// Waits until the test of that name has ended; begins it here and now if nobody has.
    ///
    /// # Panics
    /// When it failed, with what it said. When there is none of that name.
    pub fn end_of(&self, name: &'static str) {
        assert!(self.0.names.contains(&name), "there is no test named {name}");
        let mut state = self.0.lock();
        if let Some(at) = state.waiting.iter().position(|waiting| *waiting == name) {
            state.waiting.remove(at);
            drop(state);
            self.0.run(name);
            state = self.0.lock();
        }
        loop {
            match state.ends.get(name) {
                Some(Ok(())) => return,
                Some(Err(said)) => {
                    let said = said.clone();
                    drop(state);
                    panic!("{said}");
                }
                None => state = self.0.ended.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the next test; false when there is none.
    fn next(&self) -> bool {
        let Some(name) = self.lock().waiting.pop_front() else { return false };
        self.run(name);
        true
    }

    fn run(&self, name: &'static str) {
        let end = catch_unwind(AssertUnwindSafe(|| (self.body)(name))).map_err(|said| text(&*said));
        self.lock().ends.insert(name, end);
        self.ended.notify_all();
    }
}

fn text(said: &(dyn Any + Send)) -> String {
    let text = said.downcast_ref::<String>().cloned();
    text.or_else(|| said.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn they_run_at_once_and_each_tells_how_it_ended() {
        let barrier = Barrier::new(3);
        let tests = Ahead::begin(2, ["a", "b", "c"], move |name| {
            // Passed only by all three together: two ahead, one by who asks for it.
            barrier.wait();
            assert_ne!(name, "b", "as told");
        });
        tests.end_of("c");
        tests.end_of("a");
        let said = catch_unwind(AssertUnwindSafe(|| tests.end_of("b"))).unwrap_err();
        assert!(text(&*said).contains("as told"));
    }
}

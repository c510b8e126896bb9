//! The clocks of one simulated host, and how they relate to true time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Clock, Timestamp};

/// True time, in nanoseconds since the simulation began. No simulated program can read it.
pub(super) type Nanos = u64;

/// What the boot clock says when the process begins: it has counted since before.
const BOOTED_BEFORE: Duration = Duration::from_secs(1);

/// One host's clocks.
///
/// The host's monotonic clock is the paused clock of its own tokio runtime, so every timer of the code under test
/// runs at the host's own rate, stands still in a suspend, and fires late after a pause. The boot clock, which
/// tells how long a lease lives, is that plus the time suspended.
#[derive(Debug, Clone)]
pub(super) struct HostClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The monotonic clock's zero.
    origin: Option<Instant>,
    /// How many millionths faster than true time both clocks run.
    rate_ppm: i32,
    /// True time spent suspended: the boot clock goes on, the monotonic clock doesn't.
    suspended: Nanos,
    /// From when until when, in true time, the process is stopped at this instruction, unless that was taken note of.
    stalled: Option<(Nanos, Nanos)>,
    /// How often the boot clock was read.
    reads: u64,
    /// At which reads the process is stopped right after, and for how long.
    stalls: BTreeMap<u64, Nanos>,
    /// None of these lasts beyond this true time.
    stalls_end: Nanos,
    /// What was read last, and the true time that was told last: none goes back, not by a rounding either.
    last: Nanos,
    last_true: Nanos,
    /// Wakes who steps the process, when it is stopped.
    stepper: Option<Waker>,
}

impl HostClock {
    pub(super) fn new(rate_ppm: i32, stalls: BTreeMap<u64, Nanos>, stalls_end: Nanos) -> Self {
        Self(Arc::new(Mutex::new(State {
            origin: None,
            rate_ppm,
            suspended: 0,
            stalled: None,
            reads: 0,
            stalls,
            stalls_end,
            last: 0,
            last_true: 0,
            stepper: None,
        })))
    }

    /// Begins to count; called once, on the host's runtime.
    pub(super) fn start(&self) {
        self.state().origin = Some(Instant::now());
    }

    /// True time now, as far as this host has come.
    pub(super) fn true_now(&self) -> Nanos {
        let mut state = self.state();
        state.last_true = state.last_true.max(state.to_true(state.monotonic()) + state.suspended);
        state.last_true
    }

    /// How far the monotonic clock has to go on until it is true time `at`.
    pub(super) fn until(&self, at: Nanos) -> Duration {
        let state = self.state();
        let target = state.to_local(at.saturating_sub(state.suspended));
        Duration::from_nanos(target.saturating_sub(state.monotonic()))
    }

    /// The true time at which the boot clock will have gone on by `duration` since true time `at`.
    pub(super) fn true_from(&self, at: Nanos, duration: Duration) -> Nanos {
        at + self.state().to_true(nanos(duration))
    }

    /// The true time at which the boot clock says this, if the host isn't suspended until then.
    pub(super) fn true_at(&self, timestamp: Timestamp) -> Nanos {
        let boot = timestamp.since(Timestamp::ZERO).saturating_sub(BOOTED_BEFORE);
        self.state().to_true(nanos(boot))
    }

    /// The host was suspended for so much true time.
    pub(super) fn add_suspend(&self, suspended: Nanos) {
        self.state().suspended += suspended;
    }

    /// From when until when the process is stopped since its last look at the clock. If it isn't, `stepper` is
    /// woken when it is.
    pub(super) fn take_stall(&self, stepper: &Waker) -> Option<(Nanos, Nanos)> {
        let mut state = self.state();
        let stall = state.stalled.take();
        if stall.is_none() {
            state.stepper = Some(stepper.clone());
        }
        stall
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn monotonic(&self) -> Nanos {
        // Outside of the host's runtime its paused clock can't be read, and this thread's would be another.
        let inside = tokio::runtime::Handle::try_current().is_ok();
        match self.origin.filter(|_| inside) {
            Some(origin) => nanos(origin.elapsed()),
            None => 0,
        }
    }

    fn to_local(&self, of_true: Nanos) -> Nanos {
        scaled(of_true, self.rate(), 1_000_000)
    }

    fn to_true(&self, local: Nanos) -> Nanos {
        scaled(local, 1_000_000, self.rate())
    }

    fn rate(&self) -> u64 {
        1_000_000_u64.saturating_add_signed(self.rate_ppm.into())
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let mut state = self.state();
        let boot = state.monotonic() + state.to_local(state.suspended);
        state.last = state.last.max(boot);
        let now = state.last;
        state.reads += 1;
        let read = state.reads;
        if let Some(stall) = state.stalls.remove(&read) {
            let from = state.to_true(state.monotonic()) + state.suspended;
            let stall = stall.min(state.stalls_end.saturating_sub(from));
            if stall > 0 && tokio::runtime::Handle::try_current().is_ok() {
                stand_still(Duration::from_nanos(state.to_local(stall)));
                let from = state.stalled.map_or(from, |(from, _)| from);
                let until = state.to_true(state.monotonic()) + state.suspended;
                state.stalled = Some((from, until));
                if let Some(stepper) = state.stepper.take() {
                    stepper.wake();
                }
            }
        }
        Timestamp::new(BOOTED_BEFORE + Duration::from_nanos(now))
    }
}

/// The paused clock of this thread's runtime goes on, and nobody on it gets to run. What is awaited after that is
/// only a chance for others.
fn stand_still(duration: Duration) {
    let advance = std::pin::pin!(tokio::time::advance(duration));
    let _ = advance.poll(&mut std::task::Context::from_waker(Waker::noop()));
}

pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn scaled(time: Nanos, by: u64, over: u64) -> Nanos {
    let scaled = u128::from(time) * u128::from(by) / u128::from(over);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

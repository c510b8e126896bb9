//! Clocks that tell how long a lease lives.

use std::fmt::Debug;
use std::ops::Add;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::LeaseClock;

/// A moment on a [`Clock`], in nanoseconds since an origin of the clock's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The moment `since_origin` after the clock's origin.
    pub fn new(since_origin: Duration) -> Self {
        Self(u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long `self` is after `earlier`; zero if it isn't.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::new(duration).0))
    }
}

/// A clock that never goes back. The wall clock isn't one: it jumps.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock for leases of the given kind.
///
/// Linux: `CLOCK_BOOTTIME` and `CLOCK_MONOTONIC` (`clock_gettime(2)`: the first includes time that
/// the system is suspended). Elsewhere both are the standard library's `Instant`.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(LeaseClock);

impl SystemClock {
    /// The system's clock of this kind.
    pub fn new(kind: LeaseClock) -> Self {
        Self(kind)
    }
}

#[cfg(target_os = "linux")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        use rustix::time::{ClockId, clock_gettime};
        let id = match self.0 {
            LeaseClock::Boot => ClockId::Boottime,
            LeaseClock::Monotonic => ClockId::Monotonic,
        };
        let time = clock_gettime(id);
        // Both count up from boot, so neither part is ever negative.
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Timestamp::new(Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
    }
}

#[cfg(not(target_os = "linux"))]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        use std::sync::OnceLock;
        use std::time::Instant;
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        Timestamp::new(ORIGIN.get_or_init(Instant::now).elapsed())
    }
}

/// A clock for tests. It follows tokio's time (so it stands still and leaps with
/// `tokio::time::pause`), and can be made to jump and to run fast or slow.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<Manual>,
}

#[derive(Debug)]
struct Manual {
    /// The tokio time up to which `now` has been worked out.
    seen: Instant,
    now: Duration,
    /// How many millionths faster than tokio's time this clock runs.
    rate_ppm: i32,
}

impl ManualClock {
    /// A clock that agrees with tokio's time.
    pub fn new() -> Self {
        Self { state: Mutex::new(Manual { seen: Instant::now(), now: Duration::from_secs(1), rate_ppm: 0 }) }
    }

    /// Jumps ahead, as the boot clock does when a suspended host goes on.
    pub fn jump(&self, by: Duration) {
        self.with(|manual| manual.now += by);
    }

    /// From now on the clock runs this many millionths faster than tokio's time (slower: negative).
    pub fn set_rate_ppm(&self, rate_ppm: i32) {
        self.with(|manual| manual.rate_ppm = rate_ppm);
    }

    fn with<T>(&self, change: impl FnOnce(&mut Manual) -> T) -> T {
        let mut manual = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tokio_now = Instant::now();
        let passed = tokio_now.duration_since(manual.seen);
        manual.seen = tokio_now;
        let rate = 1.0 + f64::from(manual.rate_ppm) / 1e6;
        manual.now += passed.mul_f64(rate);
        change(&mut manual)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.with(|manual| Timestamp::new(manual.now))
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clocks_go_on() {
        for kind in [LeaseClock::Boot, LeaseClock::Monotonic] {
            let clock = SystemClock::new(kind);
            let before = clock.now();
            std::thread::sleep(Duration::from_millis(2));
            assert!(clock.now().since(before) >= Duration::from_millis(2));
            assert_eq!(before.since(clock.now()), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn manual_clock_follows_tokio_jumps_and_drifts() {
        let clock = ManualClock::new();
        let start = clock.now();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(clock.now().since(start), Duration::from_secs(10));
        clock.jump(Duration::from_secs(5));
        assert_eq!(clock.now().since(start), Duration::from_secs(15));
        clock.set_rate_ppm(-10_000);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(clock.now().since(start), Duration::from_secs(15 + 99));
    }
}

//! The timing rules of a lease: pure functions, no clock and no I/O.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::Timestamp;

/// How far this host's clock may run apart from the store's, in millionths: 2 %.
///
/// Gray and Cheriton, "Leases" (SOSP 1989): a lease needs clocks of bounded drift, not clocks that
/// agree. Real oscillators stay below 0.05 %; virtual machines were seen to be off by more.
pub(crate) const DRIFT_PPM: u32 = 20_000;

/// Timers fire up to a millisecond late and a task is woken some time after; a loss must be told
/// before the store can grant the lock to someone else.
const TIMER_SLACK: Duration = Duration::from_millis(3);

/// Until when a lease may be believed in: counted from *before* its request was sent, since the
/// store may have started the TTL at that very moment, and less a margin for clock drift.
pub(crate) fn deadline(sent: Timestamp, ttl: Duration) -> Timestamp {
    sent + ttl.saturating_sub(margin(ttl))
}

fn margin(ttl: Duration) -> Duration {
    let drift = ttl.mul_f64(f64::from(DRIFT_PPM) / 1e6);
    // A lease of a few milliseconds would be all margin.
    drift.max(TIMER_SLACK).min(ttl / 4)
}

/// When to renew, counted from the last success: a third of the TTL, so that two more tries fit,
/// moved by up to a tenth either way so that locks taken together part. `random` is in `0.0..1.0`.
pub(crate) fn renew_after(ttl: Duration, random: f64) -> Duration {
    (ttl / 3).mul_f64(0.9 + 0.2 * random)
}

/// When to renew for the first time: anywhere in the second half of a third of the TTL, so that
/// the heartbeats of 100,000 locks taken in one burst are spread from the start.
pub(crate) fn first_renew_after(ttl: Duration, random: f64) -> Duration {
    (ttl / 6).mul_f64(1.0 + random)
}

/// When to renew a first lease that is shorter than the TTL: a lock that is let go within this costs no renewal, and
/// hardly any pause begins within it.
pub(crate) const SOON: Duration = Duration::from_millis(50);

/// The next moment for timers that need no precision: so that the renewals of many locks share a
/// wake-up. A thousandth of the TTL, 30 ms at most.
pub(crate) fn on_grid(at: Timestamp, ttl: Duration) -> Timestamp {
    let step = (ttl / 1024).clamp(Duration::from_millis(1), Duration::from_millis(30)).as_nanos();
    let rounded = at.since(Timestamp::ZERO).as_nanos().div_ceil(step) * step;
    Timestamp::new(Duration::from_nanos(u64::try_from(rounded).unwrap_or(u64::MAX)))
}

/// How long to wait after the `failures`-th renewal in a row that failed (1 is the first), with so
/// much time left: at most half of it, so that the last try comes before the deadline.
pub(crate) fn renew_retry_after(ttl: Duration, failures: u32, left: Duration) -> Duration {
    nth(ttl / 60, ttl / 6, failures).min(left / 2)
}

/// How long to wait after the `failures`-th call in a row that failed while acquiring or releasing.
pub(crate) fn retry_after(failures: u32) -> Duration {
    nth(Duration::from_millis(25), Duration::from_secs(1), failures)
}

fn nth(min: Duration, max: Duration, failures: u32) -> Duration {
    let delays = ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).without_max_times();
    let failures = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(16);
    delays.with_jitter().build().nth(failures).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::ZERO;

    #[test]
    fn fault_15_the_margin_covers_clocks_that_run_apart() {
        for ttl in [10, 100, 1_000, 15_000, 86_400_000].map(Duration::from_millis) {
            let believed = deadline(START, ttl).since(START);
            assert!(believed.mul_f64(1.01) < ttl, "our clock 1 % slow, the store's right: {ttl:?}");
            assert!(believed >= ttl.mul_f64(0.75), "{ttl:?}");
        }
        let long = Duration::from_secs(15);
        assert!(deadline(START, long).since(START).mul_f64(1.01 / 0.99) < long, "both off, apart");
    }

    #[test]
    fn two_more_renewals_fit_before_the_deadline() {
        for ttl in [100, 1_000, 30_000].map(Duration::from_millis) {
            assert!(renew_after(ttl, 1.0) * 2 < deadline(START, ttl).since(START));
            assert!(first_renew_after(ttl, 1.0) <= ttl / 3);
            assert!(first_renew_after(ttl, 0.0) >= ttl / 6);
        }
    }

    #[test]
    fn retries_back_off_and_stay_bounded() {
        let ttl = Duration::from_secs(15);
        for failures in [1, 2, 5, u32::MAX] {
            let delay = renew_retry_after(ttl, failures, ttl);
            // The library's jitter adds up to one more minimum.
            assert!(delay >= ttl / 60 && delay <= ttl / 3, "{delay:?}");
        }
        assert!(renew_retry_after(ttl, 1, ttl) < ttl / 20);
        assert_eq!(renew_retry_after(ttl, 9, ttl / 60), ttl / 120, "the last try comes before the deadline");
    }
}

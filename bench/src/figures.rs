//! Figures: percentiles, and the clock that processes share.

use rustix::time::{ClockId, clock_gettime};

/// The value below which `percent` of the samples lie. Sorts them. Of no samples: not a number.
pub(crate) fn percentile(samples: &mut [f64], percent: f64) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    samples.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the samples")]
    let index = ((samples.len() - 1) as f64 * percent / 100.0).round() as usize;
    samples[index]
}

/// Median, least and most of several rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        let mut rounds: Vec<f64> = rounds.iter().copied().filter(|value| value.is_finite()).collect();
        (!rounds.is_empty()).then(|| Self {
            median: percentile(&mut rounds, 50.0),
            min: percentile(&mut rounds, 0.0),
            max: percentile(&mut rounds, 100.0),
        })
    }

    pub(crate) fn one_value(self) -> bool {
        self.min.total_cmp(&self.max).is_eq()
    }
}

/// Nanoseconds on the monotonic clock, which all processes of a host share.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Spread, percentile};

    #[test]
    fn percentiles_of_few_samples() {
        let mut samples = [3.0, 1.0, 2.0];
        for (percent, expected) in [(0.0, 1.0), (50.0, 2.0), (100.0, 3.0)] {
            assert!(percentile(&mut samples, percent).total_cmp(&expected).is_eq(), "{percent}");
        }
        assert!(percentile(&mut [], 50.0).is_nan());
    }

    #[test]
    fn a_round_that_gave_nothing_is_left_out() {
        let spread = Spread::of(&[f64::NAN, 2.0]).expect("one round gave a figure");
        assert!(spread.one_value() && spread.median.total_cmp(&2.0).is_eq());
        assert!(Spread::of(&[f64::NAN]).is_none());
    }
}

//! How long a lease lives.

use std::fmt;
use std::time::Duration;

/// A lease's time to live: 1 ms to [`Ttl::MAX`], in whole milliseconds.
///
/// A part of a millisecond is rounded up, so that a lease never lives shorter than was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(Duration);

/// A duration that can't be a TTL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a TTL must be from 1ms to 365days, not {asked:?}")]
pub struct InvalidTtl {
    asked: Duration,
}

impl Ttl {
    /// The shortest TTL. Backends have floors of their own, told by their capabilities.
    pub const MIN: Duration = Duration::from_millis(1);
    /// The longest TTL: 365 days.
    pub const MAX: Duration = Duration::from_secs(365 * 24 * 3600);

    /// Checks a duration and rounds it up to a whole millisecond.
    ///
    /// # Errors
    /// [`InvalidTtl`] below [`Ttl::MIN`] or above [`Ttl::MAX`].
    pub fn new(asked: Duration) -> Result<Self, InvalidTtl> {
        if asked < Self::MIN || asked > Self::MAX {
            return Err(InvalidTtl { asked });
        }
        Ok(Self(asked).round_up_to(Duration::from_millis(1)))
    }

    /// The TTL as a duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// The TTL in whole milliseconds.
    pub fn as_millis(self) -> u64 {
        // At most 365 days, so it always fits.
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The next multiple of `unit` (a backend's granularity) that is not shorter.
    pub fn round_up_to(self, unit: Duration) -> Self {
        let unit = unit.as_nanos().max(1);
        let nanos = self.0.as_nanos().div_ceil(unit) * unit;
        Self(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

impl Default for Ttl {
    /// 15 seconds: long enough for a slow pause, short enough to wait for.
    fn default() -> Self {
        Self(Duration::from_secs(15))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_16_impossible_ttls_are_typed_errors() {
        for bad in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            assert_eq!(Ttl::new(bad), Err(InvalidTtl { asked: bad }));
        }
        assert_eq!(Ttl::new(Ttl::MAX).unwrap().get(), Ttl::MAX);
    }

    #[test]
    fn rounding_never_shortens() {
        let ttl = Ttl::new(Duration::from_micros(1_500)).unwrap();
        assert_eq!(ttl.as_millis(), 2);
        assert_eq!(ttl.round_up_to(Duration::from_secs(1)).get(), Duration::from_secs(1));
        assert_eq!(Ttl::default().round_up_to(Duration::from_secs(1)), Ttl::default());
    }
}

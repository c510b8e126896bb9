//! The store's clock.

use crate::simulation::clock::Nanos;

/// Where the store's clock begins. Its tokens are microseconds of this.
const STORE_EPOCH: Nanos = 1_000_000_000_000_000;

pub(super) struct StoreClock {
    pub(super) rate_ppm: i32,
    pub(super) jumped: i64,
}

impl StoreClock {
    /// What it says at this true time.
    pub(super) fn reading(&self, at: Nanos) -> Nanos {
        let rate = u128::from(1_000_000_u64.saturating_add_signed(self.rate_ppm.into()));
        let gone = u64::try_from(u128::from(at) * rate / 1_000_000).unwrap_or(u64::MAX);
        (STORE_EPOCH + gone).saturating_add_signed(self.jumped)
    }

    /// The first true time at which it says at least this.
    pub(super) fn when(&self, reading: Nanos) -> Nanos {
        let rate = u128::from(1_000_000_u64.saturating_add_signed(self.rate_ppm.into()));
        let gone = reading.saturating_add_signed(-self.jumped).saturating_sub(STORE_EPOCH);
        u64::try_from((u128::from(gone) * 1_000_000).div_ceil(rate)).unwrap_or(u64::MAX)
    }
}

//! Everything random in a run comes from its seed: what the simulation draws, the owners that are minted, and
//! what the code under test draws from `fastrand`'s generator of this thread.

use std::cell::RefCell;

use fastrand::Rng;

use crate::OwnerId;

thread_local! {
    static OWNERS: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// As long as this lives, this thread's randomness follows from a seed.
pub(super) struct Seeded {
    generator_before: u64,
    owners_before: Option<Rng>,
}

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        let generator_before = fastrand::get_seed();
        fastrand::seed(mixed(&[seed, 1]));
        let owners = Rng::with_seed(mixed(&[seed, 2]));
        Self { generator_before, owners_before: OWNERS.with_borrow_mut(|place| place.replace(owners)) }
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        fastrand::seed(self.generator_before);
        OWNERS.with_borrow_mut(|place| *place = self.owners_before.take());
    }
}

/// A new owner, inside a simulation; `None` outside.
pub(crate) fn seeded_owner() -> Option<OwnerId> {
    OWNERS.with_borrow_mut(|place| place.as_mut().map(|rng| OwnerId::from_bytes(rng.u128(..).to_be_bytes())))
}

/// A number that follows from others and looks random (`SplitMix64`, Steele et al., OOPSLA 2014): so one
/// message's delay doesn't depend on how many others there were before it.
pub(super) fn mixed(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |state, part| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

//! What the store granted, and what it took away.

use super::holding::{Acquisition, Holding, Story};
use crate::OwnerId;
use crate::simulation::clock::Nanos;

impl Story {
    /// Which of the store's grants the holding stems from. An owner may have been granted the lock, lost it unnoticed,
    /// and been granted it again while it still asked: with another token.
    pub(super) fn own_grant(&self, acquisition: &Acquisition, holding: &Holding) -> Option<usize> {
        // An owner asks for one key alone.
        let (key, place) = self.places.get(&(holding.owner, holding.token))?;
        (*key == acquisition.key).then_some(*place)
    }

    /// When the store granted it.
    pub(super) fn granted(&self, acquisition: &Acquisition, holding: &Holding) -> Option<Nanos> {
        let own = self.own_grant(acquisition, holding)?;
        Some(self.grants[&acquisition.key][own].0)
    }

    /// Whether the store's own fault may have ended this owner's lease at this time, or let another in.
    pub(super) fn excuses(&self, owner: OwnerId, at: Nanos) -> bool {
        self.excuses_within(owner, at, at)
    }

    /// The same, at some time between these.
    pub(super) fn excuses_within(&self, owner: OwnerId, from: Nanos, to: Nanos) -> bool {
        let robbed = self.robbed.get(&owner).into_iter().flatten();
        robbed.into_iter().any(|(robbed, _)| *robbed <= to && from <= robbed + self.ttl)
    }

    /// When this owner's lease was taken away for good, after this.
    pub(super) fn gone(&self, owner: OwnerId, after: Nanos) -> Option<Nanos> {
        let robbed = self.robbed.get(&owner).into_iter().flatten();
        robbed.filter(|(at, gone)| *gone && *at >= after).map(|(at, _)| *at).next()
    }
}

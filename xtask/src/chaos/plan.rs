//! Which faults, when, and to whom: all from the seed.

use std::time::Duration;

use fastrand::Rng;

/// What the driver does to clients and locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// SIGSTOP for less than the TTL: the lock should survive it.
    ShortStop,
    /// SIGSTOP for longer than the TTL: the lock is lost.
    LongStop,
    Kill,
    /// An administrator takes the lock away.
    Break,
    /// All that the store knows of a lock is deleted: its directory, or its keys.
    Remove,
    /// A client is cut off: nothing passes, and nobody is told.
    Partition,
    /// A client's connections are cut; new ones pass.
    Cut,
    /// A client's requests are applied, and the replies don't come.
    Deaf,
    /// SIGKILL to a server, which starts again later with its data.
    ServerKill,
    /// SIGSTOP to a server.
    ServerStop,
    /// The wall clocks of half the clients jump.
    ClockJump,
}

/// What may happen on a store, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hazard {
    pub(super) fault: Fault,
    /// Of all hazards' weights.
    pub(super) weight: u32,
    /// How long it lasts, in TTLs: at least, and how much more by chance.
    pub(super) lasts: (f64, f64),
}

impl Hazard {
    pub(super) const fn new(fault: Fault, weight: u32, at_least: f64, and_up_to: f64) -> Self {
        Self { fault, weight, lasts: (at_least, and_up_to) }
    }
}

/// What clients suffer on every store.
pub(super) const OF_CLIENTS: [Hazard; 5] = [
    Hazard::new(Fault::ShortStop, 35, 0.05, 0.75),
    Hazard::new(Fault::LongStop, 20, 1.05, 2.0),
    // So long that the liveness of others is seen not to depend on this one's return.
    Hazard::new(Fault::LongStop, 5, 8.0, 4.0),
    Hazard::new(Fault::Kill, 25, 0.0, 0.7),
    Hazard::new(Fault::Break, 12, 0.0, 0.0),
];

/// Whom a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Whoever holds this key just then.
    HolderOf(usize),
    /// This client.
    Client(usize),
}

/// One fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// After the one before.
    pub(super) after: Duration,
    pub(super) fault: Fault,
    pub(super) target: Target,
    /// How long a stop is, or how long a killed client stays away.
    pub(super) lasts: Duration,
}

impl Fault {
    pub(super) const ALL: [Self; 11] = [
        Self::ShortStop,
        Self::LongStop,
        Self::Kill,
        Self::Break,
        Self::Remove,
        Self::Partition,
        Self::Cut,
        Self::Deaf,
        Self::ServerKill,
        Self::ServerStop,
        Self::ClockJump,
    ];

    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ShortStop => "short stops",
            Self::LongStop => "long stops",
            Self::Kill => "kills",
            Self::Break => "breaks",
            Self::Remove => "removals",
            Self::Partition => "partitions",
            Self::Cut => "cut connections",
            Self::Deaf => "lost replies",
            Self::ServerKill => "server kills",
            Self::ServerStop => "server stops",
            Self::ClockJump => "clock jumps",
        }
    }
}

/// An endless plan.
pub(super) struct Plan {
    rng: Rng,
    processes: usize,
    keys: usize,
    ttl: Duration,
    hazards: Vec<Hazard>,
}

impl Plan {
    pub(super) fn new(seed: u64, processes: usize, keys: usize, ttl: Duration, hazards: Vec<Hazard>) -> Self {
        Self { rng: Rng::with_seed(seed), processes, keys, ttl, hazards }
    }

    fn hazard(&mut self) -> Hazard {
        let mut at = self.rng.u32(..self.hazards.iter().map(|hazard| hazard.weight).sum::<u32>());
        let chosen = self.hazards.iter().find(|hazard| {
            let hit = at < hazard.weight;
            at = at.saturating_sub(hazard.weight);
            hit
        });
        *chosen.expect("a number below the sum of the weights")
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let Hazard { fault, lasts: (at_least, and_up_to), .. } = self.hazard();
        let rng = &mut self.rng;
        let lasts = at_least + and_up_to * rng.f64();
        let holder = rng.u8(..3) > 0 || matches!(fault, Fault::Break | Fault::Remove);
        let target =
            if holder { Target::HolderOf(rng.usize(..self.keys)) } else { Target::Client(rng.usize(..self.processes)) };
        // Where leases are long there is less time between the faults for somebody to be granted the lock.
        let pace = (self.ttl.as_secs_f64() / 0.3).clamp(1.0, 8.0);
        let after = Duration::from_micros(rng.u64(1_000..200_000)).mul_f64(pace);
        Some(Step { after, fault, target, lasts: self.ttl.mul_f64(lasts) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        let hazards = OF_CLIENTS.to_vec();
        let plan =
            |seed| Plan::new(seed, 8, 3, Duration::from_millis(300), hazards.clone()).take(500).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        for hazard in OF_CLIENTS {
            assert!(plan(7).iter().any(|step| step.fault == hazard.fault), "{hazard:?}");
        }
        assert!(plan(7).iter().map(|step| step.after).sum::<Duration>() < Duration::from_secs(60));
    }
}

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
    /// The lock's directory is deleted.
    Remove,
}

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
    pub(super) const ALL: [Self; 5] = [Self::ShortStop, Self::LongStop, Self::Kill, Self::Break, Self::Remove];

    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ShortStop => "short stops",
            Self::LongStop => "long stops",
            Self::Kill => "kills",
            Self::Break => "breaks",
            Self::Remove => "removals",
        }
    }
}

/// An endless plan.
pub(super) struct Plan {
    rng: Rng,
    processes: usize,
    keys: usize,
    ttl: Duration,
}

impl Plan {
    pub(super) fn new(seed: u64, processes: usize, keys: usize, ttl: Duration) -> Self {
        Self { rng: Rng::with_seed(seed), processes, keys, ttl }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let rng = &mut self.rng;
        let (fault, lasts) = match rng.u8(..100) {
            0..35 => (Fault::ShortStop, 0.05 + 0.75 * rng.f64()),
            35..55 => (Fault::LongStop, 1.05 + 2.0 * rng.f64()),
            // So long that the liveness of others is seen not to depend on this one's return.
            55..60 => (Fault::LongStop, 8.0 + 4.0 * rng.f64()),
            60..85 => (Fault::Kill, 0.7 * rng.f64()),
            85..97 => (Fault::Break, 0.0),
            _ => (Fault::Remove, 0.0),
        };
        let holder = rng.u8(..3) > 0 || matches!(fault, Fault::Break | Fault::Remove);
        let target =
            if holder { Target::HolderOf(rng.usize(..self.keys)) } else { Target::Client(rng.usize(..self.processes)) };
        let after = Duration::from_micros(rng.u64(1_000..200_000));
        Some(Step { after, fault, target, lasts: self.ttl.mul_f64(lasts) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        let plan = |seed| Plan::new(seed, 8, 3, Duration::from_millis(300)).take(500).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        for fault in Fault::ALL {
            assert!(plan(7).iter().any(|step| step.fault == fault), "{fault:?}");
        }
        assert!(plan(7).iter().map(|step| step.after).sum::<Duration>() < Duration::from_secs(60));
    }
}

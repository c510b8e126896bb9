//! Which faults a seed brings.

use std::time::Duration;

use fastrand::Rng;

use super::chance::mixed;
use super::fault::{Fate, Fault, FaultKind};

/// The greatest drift: each side's, so that the two together stay within the margin of 2 %.
const DRIFT_PPM: i32 = 10_000;

/// What the plan is made for.
pub(super) struct Scope<'a> {
    pub(super) seed: u64,
    pub(super) clients: usize,
    pub(super) kinds: &'a [FaultKind],
    /// Durations are chosen by this.
    pub(super) ttl: Duration,
    /// When the last fault is over.
    pub(super) within: Duration,
}

struct Draw<'a> {
    scope: &'a Scope<'a>,
    rng: Rng,
}

/// The faults of a seed.
pub(super) fn faults(scope: &Scope<'_>) -> Vec<Fault> {
    let mut draw = Draw { scope, rng: Rng::with_seed(mixed(&[scope.seed, 3])) };
    if scope.clients == 0 {
        return Vec::new();
    }
    // Some runs have a few kinds only: where everything goes wrong at once, hardly anything is ever held.
    let share = draw.rng.u32(20..=100);
    let chosen: Vec<FaultKind> = scope.kinds.iter().copied().filter(|_| draw.rng.u32(1..=100) <= share).collect();
    let mut faults: Vec<Fault> = chosen.into_iter().flat_map(|kind| draw.of_kind(kind)).collect();
    faults.sort_by_key(Fault::begins);
    faults
}

impl Draw<'_> {
    fn of_kind(&mut self, kind: FaultKind) -> Vec<Fault> {
        let number = match kind {
            FaultKind::Messages => self.rng.usize(0..=14),
            FaultKind::Pauses | FaultKind::Partitions => self.rng.usize(0..=3),
            FaultKind::Drift => self.scope.clients + 1,
            _ => self.rng.usize(0..=1),
        };
        (0..number).map(|index| self.one(kind, index)).collect()
    }

    fn one(&mut self, kind: FaultKind, index: usize) -> Fault {
        let client = self.rng.usize(0..self.scope.clients);
        let lasts = self.span();
        let at = self.moment(lasts);
        match kind {
            FaultKind::Messages => {
                let (nth, fate) = (self.rng.u64(0..40), self.fate());
                let fault = if self.rng.bool() {
                    Fault::Request { client, nth, fate }
                } else {
                    Fault::Reply { client, nth, fate }
                };
                match fault {
                    // A reply that arrives twice or after its error is a reply that is there once.
                    Fault::Reply { fate: Fate::Twice(by) | Fate::BreaksAndArrivesLate(by), .. } => {
                        Fault::Reply { client, nth, fate: Fate::Late(by) }
                    }
                    other => other,
                }
            }
            FaultKind::Partitions => Fault::CutOff { client, at, lasts, kept: self.rng.bool() },
            FaultKind::Pauses if self.rng.bool() => Fault::Stall { client, look: self.rng.u64(1..400), lasts },
            FaultKind::Pauses => Fault::Pause { client, at, lasts, replies_first: self.rng.bool() },
            FaultKind::Suspends => Fault::Suspend { client, at, lasts },
            FaultKind::Kills => Fault::Kill { client, at },
            FaultKind::Drift => {
                // Mostly the extremes, which is where a margin shows.
                let ppm = match self.rng.u8(0..4) {
                    0 => DRIFT_PPM,
                    1 => -DRIFT_PPM,
                    _ => self.rng.i32(-DRIFT_PPM..=DRIFT_PPM),
                };
                if index < self.scope.clients { Fault::Drift { client: index, ppm } } else { Fault::StoreDrift { ppm } }
            }
            FaultKind::StoreRestarts => Fault::StoreDown { at, lasts },
            FaultKind::DataLoss if self.rng.bool() => Fault::StoreLosesData { at, hinted: self.rng.bool() },
            FaultKind::DataLoss => Fault::Break { at, hinted: self.rng.bool() },
            FaultKind::StoreClockJumps => {
                let by = i64::try_from(self.span().as_millis()).unwrap_or(0);
                Fault::StoreClockJumps { at, by_ms: if self.rng.bool() { by } else { -by } }
            }
        }
    }

    fn fate(&mut self) -> Fate {
        let by = self.span();
        match self.rng.u8(0..10) {
            0..4 => Fate::Lost,
            4 => Fate::ConnectionBreaks,
            5 | 6 => Fate::Late(by),
            7 => Fate::BreaksAndArrivesLate(by),
            _ => Fate::Twice(by),
        }
    }

    /// Short, about a TTL, or longer than one.
    fn span(&mut self) -> Duration {
        let ttl = self.scope.ttl;
        let share = match self.rng.u8(0..4) {
            0 => self.rng.f64() * 0.1,
            1 | 2 => self.rng.f64(),
            _ => 0.8 + self.rng.f64() * 1.2,
        };
        Duration::from_millis(1) + ttl.mul_f64(share)
    }

    /// A moment from which so much time is left for faults.
    fn moment(&mut self, lasts: Duration) -> Duration {
        self.scope.within.saturating_sub(lasts).mul_f64(self.rng.f64())
    }
}

impl Fault {
    /// For the order in which faults are told.
    fn begins(&self) -> Duration {
        match self {
            Self::Request { .. } | Self::Reply { .. } | Self::Stall { .. } => Duration::MAX,
            Self::Drift { .. } | Self::StoreDrift { .. } => Duration::ZERO,
            Self::CutOff { at, .. }
            | Self::Pause { at, .. }
            | Self::Suspend { at, .. }
            | Self::Kill { at, .. }
            | Self::StoreDown { at, .. }
            | Self::StoreLosesData { at, .. }
            | Self::StoreClockJumps { at, .. }
            | Self::Break { at, .. } => *at,
        }
    }
}

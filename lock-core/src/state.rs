//! What is known of one lease, and the rules by which that changes: no clock, no lock, no I/O.

use std::sync::Arc;
use std::time::Duration;

use crate::{BackendError, LostReason, Timestamp, Ttl, schedule};

pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) granted_at: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) renew_at: Timestamp,
    pub(crate) hold_until: Option<Timestamp>,
    /// How many renewals in a row failed.
    pub(crate) failures: u32,
    pub(crate) renewal: RenewalStage,
    /// Where the heartbeat's timers have this lease.
    pub(crate) armed: Option<Timestamp>,
    /// The backend hinted at a loss and no renewal was begun since.
    pub(crate) hinted: bool,
}

pub(crate) enum Phase {
    Held,
    Unknown(Arc<BackendError>),
    /// One-way: no other phase follows.
    Ended(LostReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RenewalStage {
    None,
    /// Due, and not begun.
    Due,
    UnderWay,
}

impl State {
    /// When it is over if nothing happens.
    pub(crate) fn over_at(&self) -> Timestamp {
        self.hold_until.map_or(self.deadline, |end| end.min(self.deadline))
    }

    pub(crate) fn is_live(&self) -> bool {
        self.reason().is_none()
    }

    pub(crate) fn reason(&self) -> Option<&LostReason> {
        match &self.phase {
            Phase::Ended(reason) => Some(reason),
            Phase::Held | Phase::Unknown(_) => None,
        }
    }

    pub(crate) fn end(&mut self, reason: LostReason) {
        if self.is_live() {
            self.phase = Phase::Ended(reason);
        }
    }

    pub(crate) fn put_off_renewal(&mut self, now: Timestamp, ttl: Ttl) {
        self.failures = self.failures.saturating_add(1);
        let left = self.deadline.since(now);
        // Never at once: half of nothing is nothing.
        self.renew_at = now + schedule::renew_retry_after(ttl.get(), self.failures, left).max(Duration::from_millis(1));
    }

    pub(crate) fn end_what_is_over(&mut self, now: Timestamp) {
        if now >= self.deadline {
            let last_error = match &self.phase {
                Phase::Unknown(error) => Some(error.clone()),
                _ => None,
            };
            self.end(LostReason::Expired { last_error });
        } else if self.hold_until.is_some_and(|end| now >= end) {
            self.end(LostReason::MaxHold);
        }
    }
}

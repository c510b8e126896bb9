//! One lease that this process holds: its state, and the only ways in which that changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::context::Context;
use crate::{BackendError, Claim, Lease, LockLost, LockState, LostReason, OwnerId, Timestamp, Ttl, schedule};

/// What the supervisor and a guard share about one lease.
pub(crate) struct HeldLease {
    lease: Lease,
    context: Arc<Context>,
    state: Mutex<State>,
    /// Told when the lease ends and when a renewal is over.
    changed: Notify,
}

struct State {
    phase: Phase,
    granted_at: Timestamp,
    deadline: Timestamp,
    renew_at: Timestamp,
    hold_until: Option<Timestamp>,
    /// How many renewals in a row failed.
    failures: u32,
    renewal: RenewalStage,
    /// Where the heartbeat's timers have this lease.
    armed: Option<Timestamp>,
}

enum Phase {
    Held,
    Unknown(Arc<BackendError>),
    /// One-way: no other phase follows.
    Ended(LostReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RenewalStage {
    None,
    /// Due, and not begun.
    Due,
    UnderWay,
}

/// What the heartbeat is to do with a lease whose timer fired.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Renewal,
}

impl HeldLease {
    /// A lease granted to a request that was sent at `sent`. `random` is in `0.0..1.0`.
    pub(crate) fn new(
        context: Arc<Context>,
        lease: Lease,
        sent: Timestamp,
        max_hold: Option<Duration>,
        random: f64,
    ) -> Self {
        let (ttl, now) = (lease.ttl().get(), context.now());
        let state = State {
            phase: Phase::Held,
            granted_at: now,
            deadline: schedule::deadline(sent, ttl),
            renew_at: schedule::on_grid(sent + schedule::first_renew_after(ttl, random), ttl),
            hold_until: max_hold.map(|limit| now + limit),
            failures: 0,
            renewal: RenewalStage::None,
            armed: None,
        };
        Self { lease, context, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn claim(&self) -> &Claim {
        self.lease.claim()
    }

    pub(crate) fn owner(&self) -> OwnerId {
        self.lease.owner()
    }

    /// The state now. Compares the clock, so it is right although no timer has fired yet.
    pub(crate) fn observe(&self) -> LockState {
        self.update(|state, _| match state.phase {
            Phase::Held => LockState::Held,
            Phase::Unknown(_) => LockState::Unknown,
            Phase::Ended(_) => LockState::Lost,
        })
    }

    /// How long the lease may still be believed in, without another renewal.
    pub(crate) fn remaining(&self) -> Duration {
        self.update(|state, now| if state.is_live() { state.deadline.since(now) } else { Duration::ZERO })
    }

    /// The loss, once there is one.
    pub(crate) fn loss(&self) -> Option<LockLost> {
        self.update(|state, _| state.reason().cloned()).map(|reason| self.told(reason))
    }

    /// Waits for the loss.
    pub(crate) async fn lost(&self) -> LockLost {
        loop {
            // Listening begins before the look, so that a loss between the two isn't missed.
            let changed = self.changed.notified();
            if let Some(loss) = self.loss() {
                return loss;
            }
            changed.await;
        }
    }

    /// A timer fired: ends the lease if it is over, else tells whether a renewal is to be sent.
    pub(crate) fn on_timer(&self) -> Due {
        self.update(|state, now| {
            if state.is_live() && state.renewal == RenewalStage::None && now >= state.renew_at {
                state.renewal = RenewalStage::Due;
                return Due::Renewal;
            }
            Due::Nothing
        })
    }

    /// Begins a renewal that is due. False when the lease has ended: then none is sent.
    pub(crate) fn begin_renewal(&self) -> bool {
        self.update(|state, _| {
            let live = state.is_live();
            state.renewal = if live { RenewalStage::UnderWay } else { RenewalStage::None };
            live
        })
    }

    /// The renewal under way is over, whatever became of it: answered, or its task was dropped.
    pub(crate) fn end_renewal(&self) {
        self.update(|state, now| {
            state.renewal = RenewalStage::None;
            // No answer was taken in: the backend panicked, or its runtime is gone.
            if state.renew_at <= now {
                state.put_off_renewal(now, self.lease.ttl());
            }
        });
        self.changed.notify_waiters();
    }

    /// The backend hinted at a loss: the next renewal is due now.
    pub(crate) fn renew_now(&self) {
        self.update(|state, now| state.renew_at = state.renew_at.min(now));
    }

    /// A renewal that was sent at `sent` succeeded.
    pub(crate) fn renewed(&self, sent: Timestamp, ttl: Ttl, random: f64) {
        self.update(|state, now| {
            // A reply that comes after the deadline finds the lease ended, and changes nothing.
            if state.is_live() {
                self.context.telemetry.renewed(state.deadline.since(now));
                state.phase = Phase::Held;
                state.failures = 0;
                state.deadline = state.deadline.max(schedule::deadline(sent, ttl.get()));
                state.renew_at = schedule::on_grid(sent + schedule::renew_after(ttl.get(), random), ttl.get());
            }
        });
    }

    /// A renewal failed: nothing is known, the old deadline stands.
    pub(crate) fn renewal_failed(&self, error: BackendError) {
        self.context.telemetry.renewal_failed(&error);
        self.update(|state, now| {
            if state.is_live() {
                state.put_off_renewal(now, self.lease.ttl());
                state.phase = Phase::Unknown(Arc::new(error));
            }
        });
    }

    /// The store said in a renewal that the lock isn't ours.
    pub(crate) fn renewal_refused(&self) {
        self.end(LostReason::TakenAway);
    }

    /// Ends the lease, unless it has ended before. No renewal begins after this.
    pub(crate) fn end(&self, reason: LostReason) {
        self.update(|state, _| state.end(reason));
    }

    /// Waits until no renewal is under way.
    pub(crate) async fn renewal_over(&self) {
        loop {
            let changed = self.changed.notified();
            if self.update(|state, _| state.renewal != RenewalStage::UnderWay) {
                return;
            }
            changed.await;
        }
    }

    /// When the heartbeat is to look at this lease next; `None` when it has ended.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.update(|state, _| {
            let renewal = (state.renewal == RenewalStage::None).then_some(state.renew_at);
            let next = [renewal, state.hold_until].into_iter().flatten().fold(state.deadline, Timestamp::min);
            state.is_live().then_some(next)
        })
    }

    /// Swaps the place where the heartbeat's timers have this lease; only the heartbeat calls it.
    pub(crate) fn rearm(&self, at: Option<Timestamp>) -> Option<Timestamp> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut state.armed, at)
    }

    /// Every look and every change goes through here: first the clock ends what is over, and
    /// whoever ends the lease tells it, once.
    fn update<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        // Nothing panics while it has this lock; were it so, the state would still be whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_live = state.is_live();
        let now = self.context.now();
        state.end_what_is_over(now);
        let answer = change(&mut state, now);
        let ended = state.reason().filter(|_| was_live).cloned();
        let held_for = now.since(state.granted_at);
        drop(state);
        if let Some(reason) = ended {
            self.context.telemetry.ended(&self.told(reason), held_for);
            self.changed.notify_waiters();
        }
        answer
    }

    /// What is told of a loss for this reason.
    pub(crate) fn told(&self, reason: LostReason) -> LockLost {
        LockLost::new(self.lease.key().clone(), self.lease.token(), reason)
    }
}

impl State {
    fn is_live(&self) -> bool {
        self.reason().is_none()
    }

    fn reason(&self) -> Option<&LostReason> {
        match &self.phase {
            Phase::Ended(reason) => Some(reason),
            Phase::Held | Phase::Unknown(_) => None,
        }
    }

    fn end(&mut self, reason: LostReason) {
        if self.is_live() {
            self.phase = Phase::Ended(reason);
        }
    }

    fn put_off_renewal(&mut self, now: Timestamp, ttl: Ttl) {
        self.failures = self.failures.saturating_add(1);
        self.renew_at = now + schedule::renew_retry_after(ttl.get(), self.failures);
    }

    fn end_what_is_over(&mut self, now: Timestamp) {
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

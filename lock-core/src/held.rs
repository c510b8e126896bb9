//! One lease that this process holds: its state, and the only ways in which that changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::context::Context;
use crate::state::{Phase, RenewalStage, State};
use crate::{BackendError, Claim, Lease, LockLost, LockState, LostReason, OwnerId, Timestamp, Ttl, schedule};

/// How often at least a lease that somebody watches is held against the clock. Timers stand still
/// while the host is suspended and the boot clock doesn't: this is how soon after that a loss is told.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// What the supervisor and a guard share about one lease.
pub(crate) struct HeldLease {
    lease: Lease,
    context: Arc<Context>,
    state: Mutex<State>,
    /// Told when the lease ends and when a renewal is over.
    changed: Notify,
}

/// The end of a lease, not told yet.
pub(crate) struct News {
    loss: LockLost,
    held: Duration,
}

/// What the heartbeat is to do with a lease whose timer fired.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Renewal,
}

impl HeldLease {
    /// A lease granted to a request that was sent at `sent`, which lives for `lives` unless it is renewed. `random` is in
    /// `0.0..1.0`.
    pub(crate) fn new(
        context: Arc<Context>,
        lease: Lease,
        (sent, lives): (Timestamp, Duration),
        max_hold: Option<Duration>,
        random: f64,
    ) -> Self {
        let (ttl, now) = (lease.ttl().get(), context.now());
        let renew_after = if lives < ttl { schedule::SOON } else { schedule::first_renew_after(ttl, random) };
        let state = State {
            phase: Phase::Held,
            granted_at: now,
            deadline: schedule::deadline(sent, lives),
            renew_at: schedule::on_grid(sent + renew_after, lives),
            hold_until: max_hold.map(|limit| now + limit),
            failures: 0,
            renewal: RenewalStage::None,
            armed: None,
            hinted: false,
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
        self.update(|state, now| if state.is_live() { state.over_at().since(now) } else { Duration::ZERO })
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
            // A timer of its own: the verdict waits neither for the heartbeat, which may be on a runtime
            // that is blocked or gone, nor for the timers of a host that was suspended.
            let _ = timeout(self.remaining().min(LONGEST_SLEEP), changed).await;
        }
    }

    /// A timer fired: ends the lease if it is over, else tells whether a renewal is to be sent.
    pub(crate) fn on_timer(&self) -> (Due, Option<News>) {
        self.change(|state, now| {
            if state.is_live() && state.renewal == RenewalStage::None && now >= state.renew_at {
                state.renewal = RenewalStage::Due;
                return Due::Renewal;
            }
            Due::Nothing
        })
    }

    /// Begins a renewal that is due. False when the lease has ended: then none is sent.
    pub(crate) fn begin_renewal(&self) -> (bool, Option<News>) {
        self.change(|state, _| {
            let live = state.is_live();
            state.hinted = false;
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
        let mut state = self.lock();
        state.hinted = true;
        state.renew_at = state.renew_at.min(self.context.now());
    }

    /// A renewal that was sent at `sent` succeeded.
    pub(crate) fn renewed(&self, sent: Timestamp, ttl: Ttl, random: f64) {
        let slack = self.update(|state, now| {
            // A reply that comes after the deadline finds the lease ended, and changes nothing.
            state.is_live().then(|| {
                let slack = state.deadline.since(now);
                state.phase = Phase::Held;
                state.failures = 0;
                state.deadline = state.deadline.max(schedule::deadline(sent, ttl.get()));
                // A hint that came while this renewal was under way asks for another.
                let due = schedule::on_grid(sent + schedule::renew_after(ttl.get(), random), ttl.get());
                state.renew_at = if state.hinted { now } else { due };
                slack
            })
        });
        if let Some(slack) = slack {
            self.context.telemetry.renewed(slack);
        }
    }

    /// A renewal failed: nothing is known, the old deadline stands.
    pub(crate) fn renewal_failed(&self, error: BackendError) {
        let error = Arc::new(error);
        let counts = self.update(|state, now| match &mut state.phase {
            // The call was cut off at the deadline: that is why it was lost.
            Phase::Ended(LostReason::Expired { last_error: last_error @ None }) => {
                *last_error = Some(error.clone());
                true
            }
            Phase::Ended(_) => false,
            Phase::Held | Phase::Unknown(_) => {
                state.put_off_renewal(now, self.lease.ttl());
                state.phase = Phase::Unknown(error.clone());
                true
            }
        });
        if counts {
            self.context.telemetry.renewal_failed(&error);
        }
    }

    /// The store said in a renewal that the lock isn't ours.
    pub(crate) fn renewal_refused(&self) {
        self.end(LostReason::TakenAway);
    }

    /// Ends the lease, unless it has ended before. No renewal begins after this.
    pub(crate) fn end(&self, reason: LostReason) {
        self.update(|state, _| state.end(reason));
    }

    /// Waits until no renewal is under way, for one TTL at most: the task that sends it may be on a
    /// runtime that is blocked. (Stores compare owners, so one that comes after all does no harm.)
    pub(crate) async fn renewal_over(&self) {
        let over = async {
            loop {
                let changed = self.changed.notified();
                if self.lock().renewal != RenewalStage::UnderWay {
                    return;
                }
                changed.await;
            }
        };
        let _ = timeout(self.lease.ttl().get(), over).await;
    }

    /// The store said at the release that the lock wasn't ours any more: a loss that no renewal found.
    /// `None` if a loss was told before.
    pub(crate) fn was_taken(&self) -> Option<LockLost> {
        let unknown_till_now = matches!(self.lock().phase, Phase::Ended(LostReason::Released | LostReason::ShutDown));
        let loss = unknown_till_now.then(|| self.told(LostReason::TakenAway))?;
        self.context.telemetry.lost_before_release(&loss);
        Some(loss)
    }

    /// When the heartbeat is to look at this lease next; `None` when it has ended.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        // Only looks: the heartbeat, which calls this with its own lock, must tell nobody meanwhile.
        let state = self.lock();
        let renewal = (state.renewal == RenewalStage::None).then_some(state.renew_at);
        state.is_live().then(|| renewal.map_or(state.over_at(), |at| at.min(state.over_at())))
    }

    /// When it is over if nothing happens, or was if it hasn't ended before; and whether it has ended. Only looks.
    #[cfg(feature = "simulation")]
    pub(crate) fn over_at(&self) -> (Timestamp, bool) {
        let state = self.lock();
        (state.over_at(), !state.is_live())
    }

    /// Ends the lease if it is over, without telling.
    pub(crate) fn look(&self) -> Option<News> {
        self.change(|_, _| ()).1
    }

    /// Swaps the place where the heartbeat's timers have this lease; only the heartbeat calls it.
    pub(crate) fn rearm(&self, at: Option<Timestamp>) -> Option<Timestamp> {
        std::mem::replace(&mut self.lock().armed, at)
    }

    /// Every look and every change goes through here; whoever ends the lease tells it, once.
    fn update<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let (answer, news) = self.change(change);
        if let Some(news) = news {
            self.tell(&news);
        }
        answer
    }

    /// As `update`, for callers that have a lock of their own: they [`tell`](Self::tell) afterwards. A
    /// subscriber or recorder may block, and may drop guards.
    ///
    /// First the clock ends what is over, so no order of timers and replies shows a lease as held
    /// after its deadline.
    fn change<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> T) -> (T, Option<News>) {
        let mut state = self.lock();
        let was_live = state.is_live();
        let now = self.context.now();
        state.end_what_is_over(now);
        let answer = change(&mut state, now);
        let held = now.since(state.granted_at);
        let ended = state.reason().filter(|_| was_live).cloned();
        drop(state);
        let news = ended.map(|reason| {
            self.changed.notify_waiters();
            News { loss: self.told(reason), held }
        });
        (answer, news)
    }

    /// Tells, outside of all locks, that the lease has ended.
    pub(crate) fn tell(&self, news: &News) {
        self.context.telemetry.ended(&news.loss, news.held);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it has this lock; were it so, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is told of a loss for this reason.
    pub(crate) fn told(&self, reason: LostReason) -> LockLost {
        LockLost::new(self.lease.key().clone(), self.lease.token(), reason)
    }
}

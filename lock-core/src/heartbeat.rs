//! The heartbeat: one task that keeps every lease of a supervisor, and cleans up after its users.
//!
//! It never awaits a call to the store itself: a call that hangs delays neither a deadline nor
//! another key's renewal.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::context::Context;
use crate::held::{Due, HeldLease};
use crate::release::release;
use crate::{Claim, LostReason, Operation, OwnerId, Renewal, Timestamp, Ttl};

/// The longest that the heartbeat sleeps while it keeps a lease. Timers stand still while the host
/// is suspended and the boot clock doesn't: this is how soon after that a loss is told.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// What users of a supervisor share with its heartbeat.
pub(crate) struct Heartbeat {
    context: Arc<Context>,
    work: Mutex<Work>,
    /// Told when there is something that can't wait for the next timer.
    wake: Notify,
    /// Told when nothing is left to release.
    idle: Notify,
    running: AtomicBool,
    /// Renewals have slots of their own: a release that is tried again and again delays none.
    renewal_slots: Arc<Semaphore>,
    release_slots: Arc<Semaphore>,
}

#[derive(Default)]
struct Work {
    /// Every lease, by the time of its next timer.
    timers: BTreeMap<(Timestamp, OwnerId), Arc<HeldLease>>,
    /// Leases whose renewal waits for a slot.
    renewals: VecDeque<Arc<HeldLease>>,
    /// Claims to be released in the background.
    releases: VecDeque<PendingRelease>,
    releasing: usize,
    /// Owners whose lease may be lost, as their backend hinted.
    hints: HashSet<OwnerId>,
    /// Until when the heartbeat sleeps.
    sleeps_until: Option<Timestamp>,
    /// No user is left that could add anything.
    closed: bool,
}

struct PendingRelease {
    claim: Claim,
    ttl: Ttl,
    /// The lease that the release ends; none when an acquire was given up.
    lease: Option<Arc<HeldLease>>,
}

impl Heartbeat {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            renewal_slots: Arc::new(Semaphore::new(context.limits.calls_at_once)),
            release_slots: Arc::new(Semaphore::new(context.limits.calls_at_once)),
            context,
            work: Mutex::default(),
            wake: Notify::new(),
            idle: Notify::new(),
            running: AtomicBool::new(false),
        }
    }

    /// Starts the heartbeat on the caller's runtime, unless it runs. (The runtime that it ran on
    /// may have been shut down: then the next user's runtime takes over.)
    pub(crate) fn ensure_running(self: &Arc<Self>, thread: Thread) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let run = run(self.clone(), Running(self.clone()));
        match thread {
            Thread::Callers => drop(tokio::spawn(run)),
            Thread::Dedicated => {
                let body = move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.expect("a runtime for the heartbeat").block_on(run);
                };
                let thread = std::thread::Builder::new().name("distlock-heartbeat".into());
                drop(thread.spawn(body).expect("a thread for the heartbeat"));
            }
        }
    }

    /// Begins to keep a lease.
    pub(crate) fn keep(&self, lease: Arc<HeldLease>) {
        let mut work = self.work();
        let must_wake = work.arm(lease);
        drop(work);
        if must_wake {
            self.wake.notify_one();
        }
    }

    /// Stops keeping a lease that its guard releases itself.
    pub(crate) fn forget(&self, lease: &HeldLease) {
        self.work().disarm(lease);
    }

    /// Ends a lease and releases it in the background. Never blocks, works outside a runtime.
    pub(crate) fn let_go(&self, lease: &Arc<HeldLease>, reason: LostReason) {
        lease.end(reason);
        let mut work = self.work();
        work.disarm(lease);
        work.releases.push_back(PendingRelease {
            claim: lease.claim().clone(),
            ttl: lease.lease().ttl(),
            lease: Some(lease.clone()),
        });
        drop(work);
        self.wake.notify_one();
    }

    /// Releases in the background what an acquire that was given up may have left.
    pub(crate) fn clean_up(&self, claim: Claim, ttl: Ttl) {
        self.work().releases.push_back(PendingRelease { claim, ttl, lease: None });
        self.wake.notify_one();
    }

    /// Lets go of everything that is kept.
    pub(crate) fn let_everything_go(&self, reason: &LostReason) {
        let held: Vec<_> = self.work().timers.values().cloned().collect();
        for lease in held {
            self.let_go(&lease, reason.clone());
        }
    }

    /// Waits until nothing is left to release.
    pub(crate) async fn nothing_to_release(&self) {
        loop {
            let idle = self.idle.notified();
            if self.unreleased() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// How many releases are queued or under way.
    pub(crate) fn unreleased(&self) -> usize {
        let work = self.work();
        work.releases.len() + work.releasing
    }

    /// The lease of `owner` may be lost: renews it soon.
    pub(crate) fn hint(&self, owner: OwnerId) {
        self.work().hints.insert(owner);
        self.wake.notify_one();
    }

    /// No user is left. What is kept is kept on until its guards are gone.
    pub(crate) fn close(&self) {
        self.work().closed = true;
        self.wake.notify_one();
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the heartbeat runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thread {
    /// On the runtime of whoever acquires: a blocked runtime loses its locks, as a hung process should.
    Callers,
    /// On a thread of its own: for programs that block their runtime on purpose.
    Dedicated,
}

/// Tells, however the heartbeat ends, that it doesn't run any more.
struct Running(Arc<Heartbeat>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

async fn run(heartbeat: Arc<Heartbeat>, _running: Running) {
    loop {
        let Some(sleep) = heartbeat.turn() else { return };
        tokio::select! {
            () = heartbeat.wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

impl Heartbeat {
    /// Does what is due; answers how long to sleep, or `None` when nobody needs the heartbeat.
    fn turn(self: &Arc<Self>) -> Option<Duration> {
        let now = self.context.now();
        let mut work = self.work();
        work.take_hints();
        while let Some(timer) = work.timers.first_entry().filter(|timer| timer.key().0 <= now) {
            let lease = timer.remove();
            lease.rearm(None);
            if lease.on_timer() == Due::Renewal {
                work.renewals.push_back(lease.clone());
            }
            work.arm(lease);
        }
        while !work.renewals.is_empty()
            && let Ok(slot) = self.renewal_slots.clone().try_acquire_owned()
        {
            work.renewals.pop_front().map(|lease| tokio::spawn(self.clone().renew(lease, slot)));
        }
        while !work.releases.is_empty()
            && let Ok(slot) = self.release_slots.clone().try_acquire_owned()
        {
            work.releasing += 1;
            work.releases.pop_front().map(|release| tokio::spawn(self.clone().release(release, slot)));
        }
        if work.closed && work.timers.is_empty() && work.releases.is_empty() && work.releasing == 0 {
            return None;
        }
        let next = work.timers.first_key_value().map(|((at, _), _)| at.since(now).min(LONGEST_SLEEP));
        work.sleeps_until = next.map(|sleep| now + sleep);
        Some(next.unwrap_or(Duration::MAX))
    }

    /// Sends one renewal and takes in its answer.
    async fn renew(self: Arc<Self>, lease: Arc<HeldLease>, slot: OwnedSemaphorePermit) {
        let sent = self.context.now();
        let limit = self.context.limits.call.min(lease.remaining());
        let call = self.context.backend.renew(lease.lease());
        match self.context.call(Operation::Renew, lease.lease().key(), limit, call).await {
            Ok(Renewal::Renewed(ttl)) => lease.renewed(sent, ttl, fastrand::f64()),
            Ok(Renewal::Lost) => lease.renewal_refused(),
            Err(error) => lease.renewal_failed(error),
        }
        drop(slot);
        let mut work = self.work();
        work.disarm(&lease);
        let must_wake = work.arm(lease) || !work.renewals.is_empty() || !work.releases.is_empty();
        drop(work);
        if must_wake {
            self.wake.notify_one();
        }
    }

    async fn release(
        self: Arc<Self>,
        PendingRelease { claim, ttl, lease }: PendingRelease,
        slot: OwnedSemaphorePermit,
    ) {
        let done = Releasing(self.clone());
        if let Some(lease) = lease {
            lease.renewal_over().await;
        }
        // A failure is told by telemetry; the TTL frees what this couldn't.
        let _ = release(&self.context, &claim, ttl).await;
        drop(slot);
        drop(done);
    }
}

/// Counts a release as done, however its task ends.
struct Releasing(Arc<Heartbeat>);

impl Drop for Releasing {
    fn drop(&mut self) {
        let mut work = self.0.work();
        work.releasing -= 1;
        drop(work);
        self.0.idle.notify_waiters();
        self.0.wake.notify_one();
    }
}

impl Work {
    /// Puts a lease into the timers. Answers whether that is before the heartbeat would wake.
    fn arm(&mut self, lease: Arc<HeldLease>) -> bool {
        let Some(at) = lease.next_timer() else { return false };
        lease.rearm(Some(at));
        self.timers.insert((at, lease.owner()), lease);
        self.sleeps_until.is_none_or(|until| at < until)
    }

    fn disarm(&mut self, lease: &HeldLease) {
        if let Some(at) = lease.rearm(None) {
            self.timers.remove(&(at, lease.owner()));
        }
    }

    /// One walk over the leases however many hints there are: a store that restarts hints at all.
    fn take_hints(&mut self) {
        if self.hints.is_empty() {
            return;
        }
        let hints = std::mem::take(&mut self.hints);
        let leases: Vec<_> = self.timers.values().filter(|lease| hints.contains(&lease.owner())).cloned().collect();
        for lease in leases {
            lease.renew_now();
            self.disarm(&lease);
            self.arm(lease);
        }
    }
}

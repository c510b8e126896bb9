//! The heartbeat: one task that keeps every lease of a supervisor, and cleans up after its users.
//!
//! It never awaits a call to the store itself: a call that hangs delays neither a deadline nor
//! another key's renewal.

mod calls;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

pub(crate) use self::calls::Releasing;
use self::work::{PendingRelease, Work};
use crate::context::Context;
use crate::held::HeldLease;
use crate::{Claim, LostReason, OwnerId, Ttl};

/// What users of a supervisor share with its heartbeat.
pub(crate) struct Heartbeat {
    context: Arc<Context>,
    work: Mutex<Work>,
    /// Told when there is something that can't wait for the next timer.
    wake: Notify,
    /// Told when a release is done.
    released: Notify,
    running: AtomicBool,
    /// Renewals have slots of their own: a release that is tried again and again delays none.
    renewal_slots: Arc<Semaphore>,
    release_slots: Arc<Semaphore>,
}

/// Where the heartbeat runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thread {
    /// On the runtime of whoever acquires: a blocked runtime loses its locks, as a hung process should.
    Callers,
    /// On a thread of its own: for programs that block their runtime on purpose.
    Dedicated,
}

impl Heartbeat {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            renewal_slots: Arc::new(Semaphore::new(context.limits.calls_at_once)),
            release_slots: Arc::new(Semaphore::new(context.limits.calls_at_once)),
            context,
            work: Mutex::default(),
            wake: Notify::new(),
            released: Notify::new(),
            running: AtomicBool::new(false),
        }
    }

    /// Starts the heartbeat on the caller's runtime, unless it runs. (The runtime that it ran on
    /// may have been shut down: then the next user's runtime takes over.)
    pub(crate) fn ensure_running(self: &Arc<Self>, thread: Thread) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        if thread == Thread::Dedicated {
            match self.start_thread() {
                Ok(()) => return,
                // No thread to be had: locks kept on the caller's runtime are better than none.
                Err(error) => tracing::warn!(%error, "no thread for the heartbeat; it runs on the caller's runtime"),
            }
        }
        drop(tokio::spawn(run(self.clone(), Running(self.clone()))));
    }

    fn start_thread(self: &Arc<Self>) -> std::io::Result<()> {
        let (heartbeat, callers) = (self.clone(), tokio::runtime::Handle::current());
        let body = move || {
            let run = run(heartbeat.clone(), Running(heartbeat));
            // Made on its own thread: on another it could not be dropped if the thread isn't to be had.
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(run),
                Err(error) => {
                    tracing::warn!(%error, "no runtime for the heartbeat; it runs on the caller's");
                    callers.spawn(run);
                }
            }
        };
        std::thread::Builder::new().name("distlock-heartbeat".into()).spawn(body).map(drop)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Begins to keep a lease.
    pub(crate) fn keep(&self, lease: Arc<HeldLease>) {
        let must_wake = self.work().arm(lease);
        if must_wake {
            self.wake.notify_one();
        }
    }

    /// Stops keeping a lease that its guard releases itself. The answer counts as a release under way
    /// until it is dropped.
    pub(crate) fn hand_over(self: &Arc<Self>, lease: &HeldLease) -> Releasing {
        let mut work = self.work();
        work.disarm(lease);
        work.releasing += 1;
        drop(work);
        Releasing::by_a_guard(self.clone())
    }

    /// Ends a lease and releases it in the background. Never blocks, works outside a runtime.
    pub(crate) fn let_go(&self, lease: &Arc<HeldLease>, reason: LostReason) {
        lease.end(reason);
        let mut work = self.work();
        work.disarm(lease);
        work.releases.push_back(PendingRelease::of_lease(lease.clone()));
        drop(work);
        self.wake.notify_one();
    }

    /// Releases in the background what an acquire that was given up may have left.
    pub(crate) fn clean_up(&self, claim: Claim, ttl: Ttl) {
        self.work().releases.push_back(PendingRelease::of_claim(claim, ttl));
        self.wake.notify_one();
    }

    /// Lets go of everything that is kept.
    pub(crate) fn let_everything_go(&self, reason: &LostReason) {
        let held: Vec<_> = self.work().leases().cloned().collect();
        for lease in held {
            self.let_go(&lease, reason.clone());
        }
    }

    /// Waits until nothing is left to release.
    pub(crate) async fn nothing_to_release(&self) {
        loop {
            let released = self.released.notified();
            if self.unreleased() == 0 {
                return;
            }
            released.await;
        }
    }

    /// How many releases failed, ever.
    pub(crate) fn failed(&self) -> usize {
        self.work().failed
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

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is due; answers how long to sleep, or `None` when nobody needs the heartbeat.
    fn turn(self: &Arc<Self>) -> Option<Duration> {
        let now = self.context.now();
        let mut work = self.work();
        work.take_hints();
        work.fire_timers(now);
        work.look_at_renewing(now);
        let renewals = work.begin_renewals(&self.renewal_slots);
        let releases = work.begin_releases(&self.release_slots);
        let sleep = work.sleep(now);
        let news = std::mem::take(&mut work.news);
        // A runtime that shuts down drops a task as it is spawned, and that takes the lock.
        drop(work);
        for (lease, news) in news {
            lease.tell(&news);
        }
        for (lease, slot) in renewals {
            tokio::spawn(calls::renew(calls::Renewing::new(self.clone(), lease, slot)));
        }
        for (release, slot) in releases {
            tokio::spawn(calls::release(release, Releasing::new(self.clone(), slot)));
        }
        sleep
    }
}

/// Tells, however the heartbeat ends, that it doesn't run any more.
struct Running(Arc<Heartbeat>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

async fn run(heartbeat: Arc<Heartbeat>, _running: Running) {
    while let Some(sleep) = heartbeat.turn() {
        tokio::select! {
            // Either ends the sleep; a random order would only cost a random number.
            biased;
            () = heartbeat.wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

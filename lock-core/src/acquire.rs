//! Acquiring: the way from a request to a guard.

mod trouble;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::guard::LockGuard;
use crate::held::HeldLease;
use crate::supervisor::Shared;
use crate::{
    AcquireError, AcquireRequest, Attempt, BackendError, Claim, Contention, ErrorKind, Grant, Lease, LockKey,
    Operation, Outcome, Supervisor, Timestamp, Ttl, schedule,
};
use trouble::Trouble;

/// A wait at the store is asked anew after this long at the latest, should its connection hang.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How many grants may come after their own deadline before the acquire gives up.
const LATE_GRANTS: u32 = 3;

/// A wait at the store that ends within this ended at once.
const PROMPT: Duration = Duration::from_millis(1);

/// How many waits in a row may end at once before the next try is put off.
const PROMPT_WAITS: u32 = 8;

/// Whether, and how long, to wait for a lock that is held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    DontWait,
    WaitAtMost(Duration),
    WaitForEver,
}

/// One acquisition: everything that is fixed before the first call.
pub(crate) struct Acquisition {
    /// The handle, not only what it shares: the heartbeat must outlive this.
    pub(crate) supervisor: Supervisor,
    pub(crate) request: AcquireRequest,
    pub(crate) max_hold: Option<Duration>,
}

impl Acquisition {
    /// Acquires, counted and bounded: by the wait, and by the supervisor's shutdown.
    pub(crate) async fn run(mut self, patience: Patience) -> Result<LockGuard, AcquireError> {
        self.request = self.request.with_waiting(!matches!(patience, Patience::DontWait));
        let shared = self.shared();
        let _acquiring = shared.acquiring();
        shared.ensure_heartbeat();
        let began = shared.context.now();
        let (mut seen, mut trouble) = (None, Trouble::default());
        let result = {
            // Pinned here and lent: a future that is handed on by value is kept twice, in its first place as well.
            let acquire = pin!(async {
                match patience {
                    Patience::DontWait => self.try_once(&mut trouble).await,
                    Patience::WaitForEver => self.wait_and_acquire(&mut seen, &mut trouble).await,
                    Patience::WaitAtMost(limit) => {
                        let result = {
                            let waiting = pin!(self.wait_and_acquire(&mut seen, &mut trouble));
                            timeout(limit, waiting).await
                        };
                        match result {
                            Ok(result) => result,
                            // A store that doesn't answer is no holder.
                            Err(_) => Err(trouble
                                .take_error()
                                .unwrap_or_else(|| AcquireError::wait_timed_out(self.key(), limit, seen.take()))),
                        }
                    }
                }
            });
            shared.closed.run_until_cancelled(acquire).await.unwrap_or(Err(AcquireError::ShutDown))
        };
        match &result {
            Ok(guard) => shared.context.telemetry.waited(guard.key(), shared.context.now().since(began)),
            Err(error) => shared.context.telemetry.not_acquired(self.key(), error),
        }
        result
    }

    async fn try_once(&self, trouble: &mut Trouble) -> Result<LockGuard, AcquireError> {
        let turn = self.shared().queues.turn_unless_contended(self.key()).await;
        let _turn = turn.map_err(AcquireError::held)?;
        let mut clean_up = CleanUp::arm(self);
        match self.attempt(trouble).await? {
            Ok(guard) => {
                clean_up.disarm();
                Ok(guard)
            }
            Err(seen) => {
                // "Held" says that nothing is left there, unless an earlier request is still on its way.
                if trouble.outcome() == Outcome::NotApplied {
                    clean_up.disarm();
                }
                Err(AcquireError::held(seen))
            }
        }
    }

    async fn wait_and_acquire(
        &self,
        last_seen: &mut Option<Contention>,
        trouble: &mut Trouble,
    ) -> Result<LockGuard, AcquireError> {
        let turn = self.shared().queues.turn(self.key()).await;
        let mut clean_up = CleanUp::arm(self);
        trouble.stands_in_line(turn.is_in_line());
        let mut early = 0;
        loop {
            let seen = match self.attempt(trouble).await.inspect_err(|_| turn.store_failed())? {
                Ok(guard) => {
                    turn.store_answered();
                    clean_up.disarm();
                    return Ok(guard);
                }
                Err(seen) => seen,
            };
            turn.waits(seen.clone());
            trouble.stands_in_line(true);
            let seen = last_seen.insert(seen);
            let began = Instant::now();
            // Boxed: a lock that is free needs no room for this.
            let waiting = Box::pin(self.wait_at_the_store(seen, trouble));
            waiting.await.inspect_err(|_| turn.store_failed())?;
            // A wait may end early. One that always does must neither keep this thread nor spin.
            early = if began.elapsed() < PROMPT { early + 1 } else { 0 };
            if early > PROMPT_WAITS {
                sleep(PROMPT * early.min(25)).await;
            }
        }
    }

    /// Asks the store until it answers, or until it has failed to for too long.
    async fn attempt(&self, trouble: &mut Trouble) -> Result<Result<LockGuard, Contention>, AcquireError> {
        let context = &self.shared().context;
        let mut late = 0;
        loop {
            let sent = context.now();
            let call = context.backend.try_acquire(&self.request);
            match context.call(Operation::Acquire, self.key(), context.limits.call, call).await {
                Ok(Attempt::Held(seen)) => {
                    trouble.is_over();
                    return Ok(Err(seen));
                }
                Ok(Attempt::Granted(grant)) => {
                    if let Some(guard) = self.adopt(sent, &grant)? {
                        return Ok(Ok(guard));
                    }
                    // The lease may be over. The same owner asks again: that refreshes it if it isn't.
                    late += 1;
                    if late == LATE_GRANTS {
                        let message = "the store grants, but its answers come after the lease's deadline";
                        let error = BackendError::new(ErrorKind::TimedOut, Operation::Acquire, message);
                        return Err(AcquireError::Ambiguous(
                            error.with_key(self.key()).with_advice("use a longer TTL, or look why the store is slow"),
                        ));
                    }
                }
                Err(error) => sleep(trouble.pause_after(context, self.key(), error)?).await,
            }
        }
    }

    /// Makes a guard of a grant; `None` when the grant's deadline has passed already.
    fn adopt(&self, sent: Timestamp, grant: &Grant) -> Result<Option<LockGuard>, AcquireError> {
        let shared = self.shared();
        let now = shared.context.now();
        if now >= schedule::deadline(sent, grant.lives()) {
            return Ok(None);
        }
        if let Err(seen) = shared.note_token(self.key(), grant.token()) {
            shared.context.telemetry.fencing_regression(self.key(), grant.token(), seen);
            return Err(AcquireError::FencingRegression { key: self.key().clone(), granted: grant.token(), seen });
        }
        shared.context.telemetry.granted(self.key(), grant, now.since(sent));
        // The one that it ran on when this acquire began to wait may be gone.
        shared.ensure_heartbeat();
        let lease = Lease::new(self.request.claim(), grant.token(), grant.ttl());
        let lease =
            HeldLease::new(shared.context.clone(), lease, (sent, grant.lives()), self.max_hold, fastrand::f64());
        let guard = LockGuard::new(Arc::new(lease), self.supervisor.clone());
        // A shutdown lets go of what is kept by then; what comes later lets go of itself.
        if shared.closed.is_cancelled() { Err(AcquireError::ShutDown) } else { Ok(Some(guard)) }
    }

    /// Waits at the store until another try is worth while. May return early.
    async fn wait_at_the_store(&self, seen: &Contention, trouble: &mut Trouble) -> Result<(), AcquireError> {
        let context = &self.shared().context;
        let capabilities = context.backend.capabilities();
        let expiry = seen
            .expires_in()
            .map(|left| left.saturating_add(capabilities.wake_up_within()).saturating_add(context.limits.call));
        let limit = expiry.map_or(LONGEST_WAIT, |expiry| expiry.min(LONGEST_WAIT));
        match timeout(limit, context.backend.wait(&self.request, seen)).await {
            Ok(Err(error)) => sleep(trouble.pause_after(context, self.key(), error)?).await,
            Ok(Ok(())) | Err(_) => trouble.is_over(),
        }
        Ok(())
    }

    fn shared(&self) -> &Arc<Shared> {
        self.supervisor.shared()
    }

    fn key(&self) -> &LockKey {
        self.request.key()
    }
}

/// Releases in the background whatever an acquire may have left at the store, unless it is
/// disarmed. Armed before the first call, so that it covers every way out: an error, a panic, a
/// dropped future.
struct CleanUp<'a> {
    shared: &'a Shared,
    armed: Option<(Claim, Ttl)>,
}

impl<'a> CleanUp<'a> {
    fn arm(acquisition: &'a Acquisition) -> Self {
        let (claim, ttl) = (acquisition.request.claim(), acquisition.request.ttl());
        Self { shared: acquisition.shared(), armed: Some((claim, ttl)) }
    }

    fn disarm(&mut self) {
        self.armed = None;
    }
}

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        if let Some((claim, ttl)) = self.armed.take() {
            self.shared.heartbeat.clean_up(claim, ttl);
        }
    }
}

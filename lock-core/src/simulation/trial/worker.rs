//! A trial's client: takes its steps with the real supervisor and the real guards, and writes down what it sees.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

use super::resource::Resources;
use super::workload::{Deed, End, GivenUp, Locking, Patience, Step};
use super::{CALL, Phases};
use crate::simulation::client::Client;
use crate::simulation::clock::{Nanos, nanos};
use crate::simulation::history::{Op, What};
use crate::simulation::process::Ending;
use crate::{AcquireError, LockGuard, ReleaseError, Supervisor};

/// What the tasks of one client share.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) phases: Phases,
    pub(super) ops: Arc<AtomicUsize>,
    pub(super) resources: Resources,
    locks: Mutex<(usize, Supervisor)>,
}

impl Worker {
    pub(super) fn new(client: Client, phases: Phases, ops: Arc<AtomicUsize>, resources: Resources) -> Arc<Self> {
        let locks = Mutex::new((0, supervisor(&client)));
        Arc::new(Self { client, phases, ops, resources, locks })
    }

    /// All that a client does. `tasks`: the steps of each of its tasks.
    pub(super) async fn work(self: Arc<Self>, tasks: Vec<Vec<Step>>) -> Ending {
        let tasks: Vec<_> = tasks.into_iter().map(|steps| tokio::spawn(self.clone().task(steps))).collect();
        for task in tasks {
            task.await?;
        }
        // Not before the store was looked at: a shutdown gives back what was forgotten.
        self.until(self.phases.over + 1_000_000).await;
        self.shut_down().await;
        Ok(())
    }

    async fn task(self: Arc<Self>, steps: Vec<Step>) {
        let (closing, before): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| step.closing);
        for step in before {
            if self.client.clock.true_now() >= self.phases.healed {
                break;
            }
            self.within(self.phases.closing, Box::pin(self.step(&step))).await;
        }
        // Everybody wants the lock, and nothing fails: somebody must get it.
        self.until(self.phases.healed).await;
        self.within(self.phases.closes, Box::pin(self.lock(&last_will()))).await;
        self.until(self.phases.closing).await;
        for step in closing {
            self.within(self.phases.closes, Box::pin(self.step(&step))).await;
        }
        self.until(self.phases.closes).await;
    }

    async fn step(self: &Arc<Self>, step: &Step) {
        sleep(step.pause).await;
        match &step.what {
            Deed::ShutDown => self.shut_down().await,
            // In a task of its own: it may panic.
            Deed::Lock(locking) if matches!(locking.end, End::Panic) => {
                let (worker, locking) = (self.clone(), locking.clone());
                let mut task = AbortOnDrop(tokio::spawn(async move { worker.lock(&locking).await }));
                drop((&mut task.0).await);
            }
            Deed::Lock(locking) => self.lock(locking).await,
        }
    }

    async fn shut_down(&self) {
        let (supervisor, locks) = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            let next = locks.0 + 1;
            std::mem::replace(&mut *locks, (next, crate::simulation::trial::worker::supervisor(&self.client)))
        };
        self.client.tell(What::ShuttingDown { supervisor });
        let clean = locks.shutdown().await.is_clean();
        self.client.tell(What::ShutDown { supervisor, clean });
    }

    async fn lock(&self, locking: &Locking) {
        let op = self.ops.fetch_add(1, Ordering::Relaxed);
        let (supervisor, locks) = self.locks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = locks.lock(locking.key).ttl(self.phases.ttl);
        if let Some(limit) = locking.max_hold {
            request = request.max_hold(limit);
        }
        let (waits, limit) = match locking.patience {
            Patience::Try => (false, None),
            Patience::AtMost(limit) => (true, Some(limit)),
            Patience::ForEver => (true, None),
        };
        let (key, max_hold) = (locking.key.to_owned(), locking.max_hold);
        self.client.tell(What::Invoked { op, key, waits, limit, max_hold });
        let mut cancelled = TellCancelled { client: &self.client, op, armed: true };
        let acquire = async {
            match locking.patience {
                Patience::Try => request.try_acquire().await,
                Patience::AtMost(limit) => request.wait_at_most(limit).acquire().await,
                Patience::ForEver => request.acquire().await,
            }
        };
        let result = give_up(locking.given_up, acquire).await;
        let Some(result) = result else { return };
        cancelled.armed = false;
        match result {
            Err(error) => self.client.tell(What::NotAcquired { op, error: outline(&error) }),
            Ok(guard) => {
                let (at, until) = self.promise(&guard).unwrap_or_else(|| (self.now(), self.now()));
                let (owner, token) = (guard.owner(), guard.fencing_token().get());
                self.client.history.add(
                    at,
                    Some(self.client.number()),
                    What::Acquired { op, owner, token, until, supervisor },
                );
                self.hold(Held { client: &self.client, op, guard: Some(guard) }, locking).await;
            }
        }
    }

    async fn hold(&self, mut held: Held<'_>, locking: &Locking) {
        let op = held.op;
        let mut verdict = pin!(held.guard().lost());
        let until = tokio::time::Instant::now() + locking.hold;
        let mut writes = locking.writes;
        loop {
            if let Some(delay) = writes.take() {
                self.write(held.guard(), locking.key, delay).await;
                self.client.tell(What::Listens { op });
            }
            let remains = until.saturating_duration_since(tokio::time::Instant::now());
            let a_while = remains.min(self.phases.ttl / 40);
            tokio::select! {
                biased;
                loss = &mut verdict => {
                    self.client.tell(What::Lost { op, reason: loss.reason().name(), told: true });
                    break;
                }
                () = sleep(a_while) => {}
            }
            if !self.look(op, held.guard()) || remains.is_zero() {
                break;
            }
        }
        if locking.lingers {
            // A loss is final: what else comes changes nothing.
            for _ in 0..20 {
                if self.look(op, held.guard()) {
                    break;
                }
                sleep(self.phases.ttl / 40).await;
            }
        }
        self.client.tell(What::LetGo { op });
        let guard = held.guard.take();
        match locking.end {
            End::Drop => drop(guard),
            // Unwinds as a panic does, and prints nothing.
            End::Panic => std::panic::resume_unwind(Box::new("a holder panics")),
            End::Release(given_up) => {
                let Some(guard) = guard else { return };
                let answer = match give_up(given_up, guard.release()).await {
                    None => return,
                    Some(Ok(())) => "released",
                    Some(Err(ReleaseError::Lost(_))) => "lost",
                    Some(Err(ReleaseError::Store(_))) => "failed",
                };
                self.client.tell(What::Released { op, answer });
            }
        }
    }

    /// Reads the counter and writes it back, one more: both fenced.
    async fn write(&self, guard: &LockGuard, key: &'static str, delay: Duration) {
        let (token, owner) = (guard.fencing_token(), guard.owner());
        let (resources, again) = (self.resources.clone(), self.resources.clone());
        let history = self.client.history.clone();
        let body = async {
            let read = self.client.at_resource(move || resources.read(key, token, owner)).await;
            let Some(seen) = read else { return };
            // The classic mistake: sure of the lock here, and not any more when the write arrives.
            if guard.is_held() {
                let write = move || again.write(key, token, owner, seen + 1, &history);
                self.client.at_resource_after(delay, write).await;
            }
        };
        // Writes go on their way whether their writer waits for them or not.
        let _ = tokio::time::timeout(self.phases.ttl / 4, body).await;
    }

    /// Asks the guard, and writes down what it says.
    fn look(&self, op: Op, guard: &LockGuard) -> bool {
        if let Some((at, until)) = self.promise(guard) {
            self.client.history.add(at, Some(self.client.number()), What::Held { op, until });
            return true;
        }
        self.client.tell(What::Lost { op, reason: "seen", told: false });
        false
    }

    /// From when until when the guard says that the lock is ours: never later than it really says.
    fn promise(&self, guard: &LockGuard) -> Option<(Nanos, Nanos)> {
        let at = self.now();
        if !guard.is_held() {
            return None;
        }
        let left = guard.remaining();
        // This process may have been stopped between the two questions. A third time it must agree.
        if left.is_zero() && !guard.is_held() {
            return None;
        }
        Some((at, self.client.clock.true_from(at, left)))
    }

    fn now(&self) -> Nanos {
        self.client.clock.true_now()
    }

    async fn until(&self, at: Nanos) {
        while self.now() < at {
            // In short parts: timers stand still while a host is suspended.
            sleep(Duration::from_nanos(at.saturating_sub(self.now())).min(self.phases.ttl / 10)).await;
        }
    }

    /// Does something, and drops it at this time.
    async fn within(&self, at: Nanos, body: impl Future<Output = ()>) {
        tokio::select! {
            // Without an order, tokio draws one from a source of its own.
            biased;
            () = body => {}
            () = self.until(at) => {}
        }
    }
}

fn supervisor(client: &Client) -> Supervisor {
    client.supervisor_builder().call_timeout(CALL).build()
}

fn last_will() -> Locking {
    Locking {
        key: "k0",
        patience: Patience::ForEver,
        given_up: GivenUp::Never,
        hold: Duration::from_millis(50),
        max_hold: None,
        writes: Some(Duration::ZERO),
        lingers: false,
        end: End::Release(GivenUp::Never),
    }
}

/// An acquire's error without what differs between machines.
fn outline(error: &AcquireError) -> String {
    match error {
        AcquireError::Backend(error) => format!("the store failed, nothing held: {:?}", error.kind()),
        AcquireError::Ambiguous(error) => format!("it isn't known whether it was granted: {:?}", error.kind()),
        AcquireError::Held(_) => "held".into(),
        AcquireError::WaitTimedOut { .. } => "not free in time".into(),
        other => other.to_string(),
    }
}

/// Polls a future until it is done or is to be given up; then it is dropped.
async fn give_up<F: Future>(when: GivenUp, future: F) -> Option<F::Output> {
    match when {
        GivenUp::Never => Some(future.await),
        GivenUp::After(time) => tokio::time::timeout(time, future).await.ok(),
        GivenUp::AfterPolls(limit) => {
            let (mut future, mut polls) = (Box::pin(future), 0);
            poll_fn(|context| {
                if polls == limit {
                    return Poll::Ready(None);
                }
                polls += 1;
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => Poll::Ready(Some(output)),
                    // The last poll was in vain: what it awaited may still come, to nobody.
                    Poll::Pending if polls == limit => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        }
    }
}

/// Writes down that an acquire was dropped, unless it came to its end.
struct TellCancelled<'a> {
    client: &'a Client,
    op: Op,
    armed: bool,
}

impl Drop for TellCancelled<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.client.tell(What::Cancelled { op: self.op });
        }
    }
}

/// A guard whose end is written down even if its task is dropped.
struct Held<'a> {
    client: &'a Client,
    op: Op,
    guard: Option<LockGuard>,
}

impl Held<'_> {
    fn guard(&self) -> &LockGuard {
        self.guard.as_ref().expect("it is taken at the end only")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.guard.is_some() {
            self.client.tell(What::LetGo { op: self.op });
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far apart phases are, in true time.
impl Phases {
    pub(in crate::simulation) fn of(ttl: Duration) -> Self {
        let ttl_nanos = nanos(ttl);
        let healed = 4 * ttl_nanos;
        let closing = healed + 2 * ttl_nanos;
        let closes = closing + ttl_nanos / 2;
        Self { ttl, healed, closing, closes, over: closes + ttl_nanos / 4 }
    }
}

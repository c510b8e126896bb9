//! A trial's client: takes its steps with the real supervisor and the real guards, and writes down what it sees.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::sleep;

use super::holder::{Held, HolderPanics};
use super::resource::Resources;
use super::workload::{Deed, End, GivenUp, Locking, Patience, Step, give_up};
use super::{CALL, Phases};
use crate::simulation::client::Client;
use crate::simulation::clock::{Nanos, nanos};
use crate::simulation::history::{Op, What};
use crate::simulation::process::Ending;
use crate::{AcquireError, Supervisor};

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
            go_on_unwinding(task.await);
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
                go_on_unwinding((&mut task.0).await);
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

    pub(super) fn now(&self) -> Nanos {
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
        only_listens: false,
        lingers: false,
        end: End::Release(GivenUp::Never),
    }
}

/// A task's panic is its client's, unless it is the one that a holder was to end with. What the code under test panics
/// with is another.
fn go_on_unwinding(ended: Result<(), JoinError>) {
    let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) else { return };
    if !panic.is::<HolderPanics>() {
        std::panic::resume_unwind(panic);
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[tokio::test]
    async fn of_the_panics_of_a_holder_only_its_own_is_expected() {
        let own = tokio::spawn(async { std::panic::resume_unwind(Box::new(HolderPanics)) });
        go_on_unwinding(own.await);
        let another = tokio::spawn(async { panic!("the code under test") }).await;
        assert!(catch_unwind(AssertUnwindSafe(|| go_on_unwinding(another))).is_err());
    }
}

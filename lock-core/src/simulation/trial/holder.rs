//! A trial's holder: works under its guard, listens for the loss, and writes down what the guard says.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::worker::Worker;
use super::workload::{End, Locking, give_up};
use crate::simulation::client::Client;
use crate::simulation::clock::Nanos;
use crate::simulation::history::{Op, What};
use crate::{LockGuard, LockLost, ReleaseError};

/// A guard whose end is written down even if its task is dropped.
pub(super) struct Held<'a> {
    pub(super) client: &'a Client,
    pub(super) op: Op,
    pub(super) guard: Option<LockGuard>,
}

/// What a holder panics with.
pub(super) struct HolderPanics;

/// The loss that one waits for. Once it was told, it isn't told again.
struct Verdict(Option<Pin<Box<dyn Future<Output = LockLost> + Send>>>);

impl Worker {
    pub(super) async fn hold(&self, mut held: Held<'_>, locking: &Locking) {
        let op = held.op;
        let mut verdict = Verdict(Some(Box::pin(held.guard().lost())));
        let until = Instant::now() + locking.hold;
        let mut writes = locking.writes;
        loop {
            if let Some(delay) = writes.take() {
                self.write(held.guard(), locking.key, delay).await;
                self.client.tell(What::Listens { op });
            }
            let remains = until.saturating_duration_since(Instant::now());
            let a_while = remains.min(self.phases.ttl / 40);
            tokio::select! {
                biased;
                loss = verdict.told() => {
                    self.tell_lost(op, held.guard(), Some(&loss));
                    break;
                }
                () = sleep(a_while) => {}
            }
            let goes_on = if locking.only_listens {
                self.look_unseen(op, held.guard());
                true
            } else {
                self.look(op, held.guard(), &mut verdict)
            };
            if !goes_on || remains.is_zero() {
                break;
            }
        }
        if locking.lingers {
            // A loss is final: what else comes changes nothing.
            for _ in 0..20 {
                if self.look(op, held.guard(), &mut verdict) {
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
            End::Panic => std::panic::resume_unwind(Box::new(HolderPanics)),
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

    /// Asks the guard, and writes down what it says. If that is a loss, who waits for it must be told by now.
    fn look(&self, op: Op, guard: &LockGuard, verdict: &mut Verdict) -> bool {
        if let Some((at, until)) = self.promise(guard) {
            self.client.history.add(at, Some(self.client.number()), What::Held { op, until });
            return true;
        }
        if !verdict.is_told() {
            self.tell_lost(op, guard, verdict.now().as_ref());
        }
        false
    }

    fn tell_lost(&self, op: Op, guard: &LockGuard, told: Option<&LockLost>) {
        let reason = told.map_or("seen", |loss| loss.reason().name());
        let over = self.client.clock.true_at(guard.over_at().0);
        self.client.tell(What::Lost { op, reason, told: told.is_some(), over });
    }

    /// Writes down until when the lock is promised, without a question that the guard would notice.
    fn look_unseen(&self, op: Op, guard: &LockGuard) {
        let (at, (until, has_ended)) = (self.now(), guard.over_at());
        let until = self.client.clock.true_at(until);
        if !has_ended && until > at {
            self.client.history.add(at, Some(self.client.number()), What::Held { op, until });
        }
    }

    /// From when until when the guard says that the lock is ours: never later than it really says.
    pub(super) fn promise(&self, guard: &LockGuard) -> Option<(Nanos, Nanos)> {
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
}

impl Verdict {
    /// Waits for it.
    async fn told(&mut self) -> LockLost {
        let Some(future) = &mut self.0 else { return std::future::pending().await };
        let loss = future.await;
        self.0 = None;
        loss
    }

    /// What it is, if whoever waits for it would be told now.
    fn now(&mut self) -> Option<LockLost> {
        let poll = self.0.as_mut()?.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(loss) = poll else { return None };
        self.0 = None;
        Some(loss)
    }

    fn is_told(&self) -> bool {
        self.0.is_none()
    }
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

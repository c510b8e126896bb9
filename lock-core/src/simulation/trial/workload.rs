//! What the clients of a trial do, drawn from its seed.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;

use crate::simulation::chance::mixed;
use crate::simulation::fault;

/// One thing that a task does.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Whose.
    pub(super) client: usize,
    /// In which of its tasks, which run side by side.
    pub(super) task: usize,
    /// Whether it belongs to the end, in which nothing fails any more and everything must be given back at once.
    pub(super) closing: bool,
    /// So long after the step before.
    pub(super) pause: Duration,
    pub(super) what: Deed,
}

#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Acquires a lock, holds it, and gives it back.
    Lock(Locking),
    /// Shuts the client's supervisor down, and goes on with a new one.
    ShutDown,
}

#[derive(Debug, Clone)]
pub(super) struct Locking {
    pub(super) key: &'static str,
    pub(super) patience: Patience,
    pub(super) given_up: GivenUp,
    /// How long it is held, if it isn't lost.
    pub(super) hold: Duration,
    pub(super) max_hold: Option<Duration>,
    /// Whether the resource is written to, and how slow the way there is.
    pub(super) writes: Option<Duration>,
    /// Whether the guard isn't asked: each question ends what is over, so only who listens hears what timers do.
    pub(super) only_listens: bool,
    /// Whether the guard is kept for a while after a loss.
    pub(super) lingers: bool,
    pub(super) end: End,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    Try,
    AtMost(Duration),
    ForEver,
}

/// When a future is dropped that isn't done by then.
#[derive(Debug, Clone, Copy)]
pub(super) enum GivenUp {
    Never,
    /// Once it was polled so often.
    AfterPolls(u32),
    After(Duration),
}

/// How a guard is given back.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Release(GivenUp),
    Drop,
    Panic,
}

/// The steps of a seed.
pub(super) fn steps(seed: u64, ttl: Duration) -> (usize, Vec<Step>) {
    let mut rng = Rng::with_seed(mixed(&[seed, 5]));
    // Drawn apart, so that seeds with a test of their own keep their steps.
    let mut listening = Rng::with_seed(mixed(&[seed, 6]));
    let clients = rng.usize(2..=3);
    let mut steps = Vec::new();
    for client in 0..clients {
        for task in 0..rng.usize(1..=2) {
            for closing in [false, true] {
                for _ in 0..rng.usize(2..=5) {
                    let mut step = step(&mut rng, ttl, client, task, closing);
                    if let Deed::Lock(locking) = &mut step.what {
                        locking.only_listens = listening.u8(0..3) == 0;
                    }
                    steps.push(step);
                }
            }
        }
    }
    (clients, steps)
}

fn step(rng: &mut Rng, ttl: Duration, client: usize, task: usize, closing: bool) -> Step {
    let pause = ttl.mul_f64(rng.f64() * if closing { 0.02 } else { 0.3 });
    let what = if !closing && rng.u8(0..20) == 0 { Deed::ShutDown } else { Deed::Lock(locking(rng, ttl, closing)) };
    Step { client, task, closing, pause, what }
}

fn locking(rng: &mut Rng, ttl: Duration, closing: bool) -> Locking {
    let patience = match rng.u8(0..4) {
        0 => Patience::Try,
        1 => Patience::AtMost(ttl.mul_f64(rng.f64() * 2.0)),
        _ => Patience::ForEver,
    };
    let hold = match rng.u8(0..4) {
        _ if closing => ttl.mul_f64(rng.f64() * 0.05),
        0 => Duration::ZERO,
        1 => ttl.mul_f64(1.0 + rng.f64()),
        _ => ttl.mul_f64(rng.f64()),
    };
    let end = match rng.u8(0..6) {
        0 | 1 => End::Release(GivenUp::Never),
        2 | 3 => End::Release(given_up(rng, ttl, 2)),
        4 => End::Drop,
        _ => End::Panic,
    };
    Locking {
        key: if rng.u8(0..4) == 0 { "k1" } else { "k0" },
        patience,
        given_up: given_up(rng, ttl, if closing { 2 } else { 6 }),
        hold,
        max_hold: (rng.u8(0..10) == 0).then(|| ttl.mul_f64(0.3 + rng.f64())),
        writes: rng.bool().then(|| if rng.u8(0..4) == 0 { ttl.mul_f64(rng.f64() * 2.0) } else { Duration::ZERO }),
        only_listens: false,
        lingers: rng.bool(),
        end,
    }
}

/// One in `one_in` is given up.
fn given_up(rng: &mut Rng, ttl: Duration, one_in: u8) -> GivenUp {
    match rng.u8(0..one_in * 2) {
        0 => GivenUp::AfterPolls(rng.u32(0..16)),
        1 => GivenUp::After(ttl.mul_f64(rng.f64() * 0.1)),
        _ => GivenUp::Never,
    }
}

/// Polls a future until it is done or is to be given up; then it is dropped.
pub(super) async fn give_up<F: Future>(when: GivenUp, future: F) -> Option<F::Output> {
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

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, task) = (fault::name(self.client), self.task);
        let phase = if self.closing { "in the end " } else { "" };
        write!(f, "{phase}client {client}, task {task}, after {:?}: {}", self.pause, self.what)
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown => f.write_str("shuts its supervisor down and makes a new one"),
            Self::Lock(locking) => locking.fmt(f),
        }
    }
}

impl fmt::Display for Locking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key;
        match self.patience {
            Patience::Try => write!(f, "tries {key}")?,
            Patience::AtMost(limit) => write!(f, "acquires {key} within {limit:?}")?,
            Patience::ForEver => write!(f, "acquires {key}")?,
        }
        write!(f, "{}, holds it for {:?}", self.given_up, self.hold)?;
        if let Some(limit) = self.max_hold {
            write!(f, " (max_hold {limit:?})")?;
        }
        if let Some(delay) = self.writes {
            write!(f, ", writes")?;
            if !delay.is_zero() {
                write!(f, " by a way that takes {delay:?}")?;
            }
        }
        if self.only_listens {
            f.write_str(", asks nothing")?;
        }
        if self.lingers {
            f.write_str(", lingers if it is lost")?;
        }
        match self.end {
            End::Release(given_up) => write!(f, ", releases it{given_up}"),
            End::Drop => f.write_str(", drops it"),
            End::Panic => f.write_str(", panics"),
        }
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => Ok(()),
            Self::AfterPolls(number) => write!(f, " (given up after {number} polls)"),
            Self::After(time) => write!(f, " (given up after {time:?})"),
        }
    }
}

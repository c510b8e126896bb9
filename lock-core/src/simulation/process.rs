//! One simulated process: a tokio runtime of its own with a paused clock, stepped from outside.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, advance, sleep_until};

use super::client::Client;
use super::clock::{HostClock, Nanos};
use super::message::{Delivery, Outbox, Sent};

/// What a client's program, or the question whether all is well, ends with. `?` turns any error into one; a panic becomes
/// one, too.
pub type Ending = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Makes a client's program.
pub(super) type Body = Box<dyn FnOnce(Client) -> std::pin::Pin<Box<dyn Future<Output = Ending> + Send>> + Send>;

/// A process. Dropping it kills it: nothing that it does in its end reaches the network.
pub(super) struct Process {
    pub(super) clock: HostClock,
    outbox: Outbox,
    /// What reaches it, by true time.
    pub(super) inbox: BTreeMap<(Nanos, u64), Delivery>,
    running: Option<(Runtime, JoinHandle<Ending>)>,
    /// How its program ended, if it did before its process.
    ending: Option<Ending>,
    /// It doesn't run before; set while it is stopped or suspended.
    pub(super) asleep: Option<Sleep>,
}

/// Why, since when and until when a process doesn't run, in true time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sleep {
    pub(super) until: Nanos,
    pub(super) suspended: bool,
    pub(super) replies_first: bool,
}

/// What a process did when it was run.
#[derive(Default)]
pub(super) struct Ran {
    pub(super) sent: Vec<(Nanos, Sent)>,
    /// From when until when it is stopped, in the midst of a step.
    pub(super) stalled: Option<(Nanos, Nanos)>,
}

impl Process {
    pub(super) fn start(clock: HostClock, outbox: Outbox, client: Client, body: Body) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime that opens nothing");
        let main = {
            let _inside = runtime.enter();
            clock.start();
            tokio::spawn(async move { body(client).await })
        };
        Self { clock, outbox, inbox: BTreeMap::new(), running: Some((runtime, main)), ending: None, asleep: None }
    }

    /// Whether its program has come to its end, or the process to its own.
    pub(super) fn is_finished(&self) -> bool {
        self.running.as_ref().is_none_or(|(_, main)| main.is_finished())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.running.is_some()
    }

    /// When it would next do something that is known of, if anything is.
    pub(super) fn next_known(&self) -> Option<Nanos> {
        let delivery = self.inbox.keys().next().map(|(at, _)| *at);
        self.asleep.map(|sleep| sleep.until).or(delivery)
    }

    /// Lets it run up to `end`, true time.
    pub(super) fn run(&mut self, end: Nanos) -> Ran {
        let Some((runtime, _)) = &self.running else { return Ran::default() };
        if self.asleep.is_some_and(|sleep| sleep.until > end) {
            return Ran::default();
        }
        let asleep = self.asleep.take();
        let (clock, inbox) = (&self.clock, &mut self.inbox);
        let stalled = runtime.block_on(async {
            let now = asleep.map_or_else(|| clock.true_now(), |sleep| sleep.until);
            if asleep.is_some_and(|sleep| sleep.suspended) {
                clock.add_suspend(now.saturating_sub(clock.true_now()));
            }
            if asleep.is_some_and(|sleep| sleep.replies_first) {
                deliver(inbox, now);
            }
            let behind = clock.until(now);
            if !behind.is_zero() {
                advance(behind).await;
            }
            let mut now = now;
            loop {
                deliver(inbox, now.max(clock.true_now()));
                let next = inbox.keys().next().map_or(end, |(at, _)| end.min(*at));
                if let Some(stall) = wait_until(clock, next).await {
                    return Some(stall);
                }
                if next == end {
                    return None;
                }
                // The host's clock, rounded, may have come a nanosecond less far.
                now = next;
            }
        });
        if let Some((_, until)) = stalled {
            self.asleep = Some(Sleep { until, suspended: false, replies_first: false });
        }
        let sent = std::mem::take(&mut *self.outbox.lock().unwrap_or_else(PoisonError::into_inner));
        Ran { sent, stalled }
    }

    /// Ends the process. A program that has come to its end before did.
    pub(super) fn kill(&mut self) {
        let Some((runtime, main)) = self.running.take() else { return };
        if main.is_finished() {
            let panicked = |error: JoinError| match error.try_into_panic() {
                Ok(panic) => Err(panicked(&*panic).into()),
                Err(error) => Err(error.into()),
            };
            self.ending = Some(runtime.block_on(main).unwrap_or_else(panicked));
        }
        drop(runtime);
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.inbox.clear();
    }

    /// How its program ended, if it did. The process is killed.
    pub(super) fn end(&mut self) -> Option<Ending> {
        self.kill();
        self.ending.take()
    }
}

/// What a program panicked with, in words.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(with something that is no text)"))
}

fn deliver(inbox: &mut BTreeMap<(Nanos, u64), Delivery>, now: Nanos) {
    while let Some(first) = inbox.first_entry().filter(|first| first.key().0 <= now) {
        first.remove().deliver();
    }
}

/// Lets the process's tasks run until true time `at`, or until the process is stopped in the midst of one: then
/// answers from when until when.
async fn wait_until(clock: &HostClock, at: Nanos) -> Option<(Nanos, Nanos)> {
    let mut sleep = pin!(sleep_until(Instant::now() + clock.until(at)));
    poll_fn(|context| {
        if let Some(stall) = clock.take_stall(context.waker()) {
            return Poll::Ready(Some(stall));
        }
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// An outbox that is empty.
pub(super) fn outbox() -> Outbox {
    Arc::new(Mutex::new(Vec::new()))
}

//! What the thread and all connections share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::Counters;
use super::state::{Newcomers, State};
use super::trap::{Sent, Traps, Verdict};

/// What all connections see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: watch::Sender<State>,
    pub(super) counters: watch::Sender<Counters>,
    /// Changes after each change of the state, when the door is as that wants it.
    pub(super) door: watch::Sender<()>,
    traps: Mutex<Traps>,
    /// Those that are open, by number.
    open: Mutex<BTreeMap<u64, Arc<Marks>>>,
}

/// What is noted of a connection.
#[derive(Debug, Default)]
struct Marks {
    /// It has lost bytes, or its peer.
    robbed: AtomicBool,
    /// Its client is gone, and a request is kept for late delivery, since this round. 0: it isn't so.
    keeps: AtomicU64,
}

impl Shared {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        let state = watch::Sender::new(State::new(upstream));
        let counters = watch::Sender::new(Counters::default());
        Self { state, counters, door: watch::Sender::default(), traps: Mutex::default(), open: Mutex::default() }
    }

    pub(super) fn count(&self, edit: impl FnOnce(&mut Counters)) {
        self.counters.send_modify(edit);
    }

    /// What the traps say to what a client sent.
    pub(super) fn look(&self, sent: &Sent<'_>) -> Option<Verdict> {
        self.traps().look(sent)
    }

    /// Notes that a trap does its deed. If it refuses new connections, this returns when that is so.
    pub(super) async fn fire(&self, verdict: Verdict) {
        if verdict.then_refuse {
            let mut door = self.door.subscribe();
            self.state.send_modify(|state| state.newcomers = Newcomers::Refuse);
            door.changed().await.expect("the sender is ours");
        }
        self.count(|counters| counters.fired += 1);
    }

    pub(super) fn traps(&self) -> MutexGuard<'_, Traps> {
        self.traps.lock().expect("no panic under this lock")
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Marks>>> {
        self.open.lock().expect("no panic under this lock")
    }

    /// Whether a connection has yet to end as ordered, or to deliver what it keeps.
    pub(super) fn is_behind(&self) -> bool {
        let state = self.state.borrow();
        self.open().iter().any(|(&number, marks)| {
            let robbed = marks.robbed.load(Relaxed);
            match marks.keeps.load(Relaxed) {
                0 => state.must_end(number, robbed).is_some(),
                round => round < state.late_round,
            }
        })
    }

    /// Notes who has lost its peer by the last order.
    pub(super) fn mark_the_half_open(&self) {
        let state = self.state.borrow();
        for (_, marks) in self.open().iter().filter(|(number, _)| state.is_half_open(**number)) {
            marks.robbed.store(true, Relaxed);
        }
    }
}

/// A connection's place among those that are open.
pub(super) struct Seat {
    pub(super) number: u64,
    marks: Arc<Marks>,
    shared: Arc<Shared>,
}

impl Seat {
    pub(super) fn take(number: u64, shared: &Arc<Shared>) -> Self {
        let marks = Arc::<Marks>::default();
        shared.open().insert(number, marks.clone());
        shared.count(|counters| {
            counters.accepted += 1;
            counters.open += 1;
        });
        Self { number, marks, shared: shared.clone() }
    }

    /// Bytes of this connection were lost.
    pub(super) fn rob(&self) {
        self.marks.robbed.store(true, Relaxed);
    }

    pub(super) fn is_robbed(&self) -> bool {
        self.marks.robbed.load(Relaxed)
    }

    /// The client is gone; what is left is a request for late delivery.
    pub(super) fn keep(&mut self) -> u64 {
        let round = self.shared.state.borrow().late_round;
        self.marks.keeps.store(round, Relaxed);
        self.shared.count(|counters| {
            counters.open -= 1;
            counters.kept += 1;
        });
        round
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.open().remove(&self.number);
        let kept = self.marks.keeps.load(Relaxed) > 0;
        self.shared.count(|counters| *(if kept { &mut counters.kept } else { &mut counters.open }) -= 1);
    }
}

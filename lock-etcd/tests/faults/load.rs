//! Contenders for one lock, and the history of what they believed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lock_core::Supervisor;
use lock_etcd::EtcdBackend;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// One grant, from the call to the moment at which its holder stopped believing in it.
#[derive(Debug, Clone)]
struct Hold {
    contender: usize,
    asked: Instant,
    granted: Instant,
    until: Instant,
    token: u64,
}

#[derive(Default)]
struct Notes {
    holds: Mutex<Vec<Hold>>,
    losses: AtomicU64,
    errors: AtomicU64,
    grants: AtomicU64,
}

pub(crate) struct Load {
    notes: Arc<Notes>,
    stop: Arc<AtomicBool>,
    contenders: JoinSet<()>,
}

pub(crate) struct History {
    holds: Vec<Hold>,
    losses: u64,
    errors: u64,
}

impl Load {
    /// Contenders that each have a client of their own and come back at once.
    pub(crate) fn start(endpoints: &[String], contenders: usize) -> Self {
        let (notes, stop) = (Arc::new(Notes::default()), Arc::new(AtomicBool::new(false)));
        let mut running = JoinSet::new();
        for contender in 0..contenders {
            let locks = Supervisor::new(EtcdBackend::new(endpoints.to_vec()).unwrap());
            running.spawn(contend(contender, locks, notes.clone(), stop.clone()));
        }
        Self { notes, stop, contenders: running }
    }

    pub(crate) fn grants(&self) -> u64 {
        self.notes.grants.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(mut self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(end) = self.contenders.join_next().await {
            end.unwrap();
        }
        let holds = std::mem::take(&mut *self.notes.holds.lock().unwrap_or_else(PoisonError::into_inner));
        History {
            holds,
            losses: self.notes.losses.load(Ordering::Relaxed),
            errors: self.notes.errors.load(Ordering::Relaxed),
        }
    }
}

async fn contend(contender: usize, locks: Supervisor, notes: Arc<Notes>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let acquired = locks.lock("contended").ttl(Duration::from_secs(4)).wait_at_most(Duration::from_secs(15));
        let Ok(guard) = acquired.acquire().await else {
            notes.errors.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let granted = Instant::now();
        notes.grants.fetch_add(1, Ordering::Relaxed);
        let work = Instant::now() + Duration::from_millis(20);
        let mut until = granted;
        while guard.is_held() && Instant::now() < work {
            until = Instant::now();
            sleep(Duration::from_millis(2)).await;
        }
        if guard.is_held() {
            until = Instant::now();
        }
        let hold = Hold { contender, asked, granted, until, token: guard.fencing_token().get() };
        notes.holds.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
        if guard.release().await.is_err() {
            notes.losses.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl History {
    /// Never two holders; tokens unique, and rising with the grants; everybody served.
    pub(crate) fn check(&self) {
        let mut holds = self.holds.clone();
        holds.sort_by_key(|hold| hold.granted);
        for pair in holds.windows(2) {
            let [before, after] = pair else { continue };
            assert!(before.until <= after.granted, "two holders at once: {before:?} and {after:?}");
            assert!(before.token < after.token, "tokens don't rise: {before:?} and {after:?}");
        }
        // (a) of the list: whoever asked after another was granted has the greater token.
        for (n, one) in holds.iter().enumerate() {
            for other in &holds[n + 1..] {
                assert!(other.asked < one.granted || one.token < other.token, "{one:?} and {other:?}");
            }
        }
        let mut served: HashMap<usize, u32> = HashMap::new();
        for hold in &holds {
            *served.entry(hold.contender).or_default() += 1;
        }
        let contenders = served.keys().max().map_or(0, |most| most + 1);
        assert_eq!(served.len(), contenders, "not all were served: {served:?}");
    }

    pub(crate) fn grants(&self) -> usize {
        self.holds.len()
    }
    pub(crate) fn losses(&self) -> u64 {
        self.losses
    }
    pub(crate) fn errors(&self) -> u64 {
        self.errors
    }
}

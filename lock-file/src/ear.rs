//! What one waiter listens for, so that of many who wait only those wake whose turn may have come.
//!
//! The first in the queue and the next hear what happens to the lock; the next, because the first
//! may be stopped. Those behind hear only of the tickets before theirs, until few are left.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::owners::lock;

/// With fewer tickets before its own, a waiter listens to the lock itself.
pub(crate) const FRONT: usize = 2;

const CHANGED: u8 = 1;
const CLOSED: u8 = 2;

/// One waiter's ear.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    heard: AtomicU8,
    wake: Notify,
    /// The names of the tickets before this waiter's, as far as they matter.
    ahead: Mutex<HashSet<String>>,
}

/// What became of the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Changed,
    /// A record's file was closed: its holder may have died.
    Closed,
}

impl Ear {
    /// From now on the waiter stands behind these tickets.
    pub(crate) fn stand_behind(&self, ahead: Vec<String>) {
        *lock(&self.ahead) = ahead.into_iter().collect();
    }

    /// How many tickets are known to be before this waiter's.
    pub(crate) fn ahead(&self) -> usize {
        lock(&self.ahead).len()
    }

    /// Something happened to the lock.
    pub(crate) fn lock_changed(&self, news: News) {
        if self.ahead() < FRONT {
            self.wake(news);
        }
    }

    /// A ticket left the queue: granted, withdrawn, or its process died.
    pub(crate) fn ticket_left(&self, name: &str) {
        let mut ahead = lock(&self.ahead);
        if ahead.remove(name) && ahead.len() < FRONT {
            drop(ahead);
            self.wake(News::Changed);
        }
    }

    /// Wakes the waiter, wherever it stands.
    pub(crate) fn wake(&self, news: News) {
        let flag = if news == News::Closed { CHANGED | CLOSED } else { CHANGED };
        self.heard.fetch_or(flag, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Forgets what was heard so far: the waiter looks now.
    pub(crate) fn seen(&self) {
        self.heard.store(0, Ordering::Release);
    }

    /// Waits for news after the last [`seen`](Self::seen).
    pub(crate) async fn news(&self) -> News {
        loop {
            let heard = self.heard.load(Ordering::Acquire);
            if heard & CLOSED != 0 {
                return News::Closed;
            }
            if heard != 0 {
                return News::Changed;
            }
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_hears_the_lock_and_those_behind_hear_tickets() {
        let ear = Ear::default();
        let heard = || ear.heard.swap(0, Ordering::AcqRel);
        ear.stand_behind(vec!["1".into(), "2".into(), "3".into()]);
        ear.lock_changed(News::Changed);
        assert_eq!(heard(), 0);
        ear.ticket_left("4");
        ear.ticket_left("2");
        assert_eq!((heard(), ear.ahead()), (0, 2), "still one too many");
        ear.ticket_left("1");
        ear.ticket_left("1");
        assert_eq!((heard(), ear.ahead()), (CHANGED, 1), "at the front: it looks for itself");
        ear.lock_changed(News::Closed);
        assert_eq!(heard(), CHANGED | CLOSED);
    }
}

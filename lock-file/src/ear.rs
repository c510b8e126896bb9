//! What one waiter listens for, so that of many who wait only those wake whose turn may have come.
//!
//! The first in the queue and the next hear what happens to the lock; the next, because the first
//! may be stopped. Those behind hear only of the nearest live tickets before theirs. When one of
//! these leaves, another takes its place, until there are too few. How many of them one knows grows
//! while it waits, since that says how long it may leave the lock to them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::owners::lock;

/// With fewer tickets before its own, a waiter listens to the lock itself.
pub(crate) const FRONT: usize = 2;
/// So many live tickets before its own a waiter gets to know at most,
pub(crate) const KNOWN: usize = 5;
/// and not before so few are left: each look at a ticket wakes all who watch the queue, so only a few may take more.
const FEW: usize = 8;

const CHANGED: u8 = 1;
const CLOSED: u8 = 2;

/// One waiter's ear.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    heard: AtomicU8,
    wake: Notify,
    line: Mutex<Line>,
}

/// The tickets before this waiter's.
#[derive(Debug, Default)]
struct Line {
    /// The nearest, found alive: at most `FRONT + further`.
    near: BTreeSet<String>,
    /// None at first.
    further: usize,
    /// Those before them, of which nobody knows whether they live.
    rest: BTreeSet<String>,
    /// Those that left before the line was known, so that none stays in it that left unnoticed.
    left: HashSet<String>,
    known: bool,
}

impl Line {
    /// The dead count until they are found.
    fn len(&self) -> usize {
        self.near.len() + self.rest.len()
    }
}

/// What became of the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Changed,
    /// A record's file was closed: its holder may have died.
    Closed,
}

impl Ear {
    /// From now on the waiter stands behind these tickets, but for those that left meanwhile.
    pub(crate) fn stand_behind(&self, ahead: Vec<String>) {
        let mut line = lock(&self.line);
        let left = std::mem::take(&mut line.left);
        line.rest = ahead.into_iter().filter(|name| !left.contains(name)).collect();
        line.near.clear();
        line.known = true;
    }

    /// The next ticket, nearest first, that counts as alive from now on; the caller finds out, and
    /// says so if it is [`gone`](Self::gone). `None`: there are enough, or too few.
    pub(crate) fn next_ahead(&self) -> Option<String> {
        let mut line = lock(&self.line);
        if line.near.len() >= FRONT + line.further || line.len() < FRONT {
            return None;
        }
        // Before it is looked at, so that its leaving is heard from before the look.
        let name = line.rest.pop_last()?;
        line.near.insert(name.clone());
        Some(name)
    }

    /// This ticket doesn't count, as the waiter found out for itself.
    pub(crate) fn gone(&self, name: &str) {
        let mut line = lock(&self.line);
        // As long as it counted, nothing was heard of the lock: who is at the front now looks once more.
        if line.near.remove(name) && line.near.len() == FRONT - 1 {
            drop(line);
            self.wake(News::Changed);
        }
    }

    /// The nearest must be looked at anew: a departure may not have been told.
    pub(crate) fn doubt(&self) {
        let mut line = lock(&self.line);
        let near = std::mem::take(&mut line.near);
        line.rest.extend(near);
    }

    /// Nothing was heard for as long as so many before it may be trusted: from now on it gets to know one more, if it
    /// isn't far behind.
    pub(crate) fn look_further(&self) {
        let mut line = lock(&self.line);
        if line.len() <= FEW && line.near.len() == FRONT + line.further {
            line.further = (line.further + 1).min(KNOWN - FRONT);
        }
    }

    /// The tickets that keep this waiter from listening to the lock.
    pub(crate) fn near(&self) -> Vec<String> {
        lock(&self.line).near.iter().cloned().collect()
    }

    /// How many live tickets are known to be before this waiter's, up to [`KNOWN`].
    pub(crate) fn ahead(&self) -> usize {
        lock(&self.line).near.len()
    }

    /// The same, but the most for one that is far behind.
    pub(crate) fn relies_on(&self) -> usize {
        let line = lock(&self.line);
        if line.len() > FEW { KNOWN } else { line.near.len() }
    }

    /// Something happened to the lock.
    pub(crate) fn lock_changed(&self, news: News) {
        if self.ahead() < FRONT {
            self.wake(news);
        }
    }

    /// A ticket left the queue: granted, withdrawn, or its process died.
    pub(crate) fn ticket_left(&self, name: &str) {
        let mut line = lock(&self.line);
        if !line.known {
            line.left.insert(name.to_owned());
            return;
        }
        let is_near_now = line.rest.remove(name) && line.len() == FEW;
        // With fewer than it counted on it must look sooner.
        if line.near.remove(name) || is_near_now {
            drop(line);
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

    fn heard(ear: &Ear) -> u8 {
        ear.heard.swap(0, Ordering::AcqRel)
    }

    fn behind(names: &[&str]) -> Ear {
        let ear = Ear::default();
        ear.stand_behind(names.iter().map(|name| (*name).to_owned()).collect());
        while ear.next_ahead().is_some() {}
        ear
    }

    #[test]
    fn the_front_hears_the_lock_and_those_behind_hear_tickets() {
        let ear = behind(&["1", "2", "3"]);
        assert_eq!(ear.near(), ["2", "3"], "the nearest");
        ear.lock_changed(News::Changed);
        ear.ticket_left("4");
        ear.ticket_left("1");
        assert_eq!((heard(&ear), ear.ahead()), (0, 2), "still one too many");
        ear.ticket_left("2");
        ear.ticket_left("2");
        assert_eq!((heard(&ear), ear.ahead()), (CHANGED, 1), "at the front: it looks for itself");
        assert_eq!(ear.next_ahead(), None);
        ear.lock_changed(News::Closed);
        assert_eq!(heard(&ear), CHANGED | CLOSED);
    }

    #[test]
    fn one_who_left_is_replaced_and_the_dead_do_not_count() {
        let ear = behind(&["1", "2", "3", "4"]);
        ear.ticket_left("3");
        assert_eq!(heard(&ear), CHANGED);
        assert_eq!(ear.next_ahead().as_deref(), Some("2"));
        ear.gone("2");
        assert_eq!(ear.next_ahead().as_deref(), Some("1"));
        assert_eq!(ear.next_ahead(), None, "enough");
        heard(&ear);
        ear.gone("1");
        assert_eq!((ear.ahead(), ear.next_ahead()), (1, None), "at the front");
        assert_eq!(heard(&ear), CHANGED, "what happened to the lock meanwhile was not heard");
    }

    #[test]
    fn who_leaves_before_the_line_is_known_is_not_in_it() {
        let ear = Ear::default();
        ear.ticket_left("1");
        ear.stand_behind(vec!["1".into(), "2".into()]);
        assert_eq!((ear.next_ahead(), ear.ahead()), (None, 0));
    }

    #[test]
    fn who_waits_longer_gets_to_know_more_of_those_before_it_and_hears_each_leave() {
        let ear = behind(&["1", "2", "3", "4", "5", "6"]);
        for known in (FRONT + 1..=KNOWN).chain([KNOWN]) {
            ear.look_further();
            while ear.next_ahead().is_some() {}
            assert_eq!(ear.ahead(), known);
        }
        for (name, left) in [("6", KNOWN - 1), ("5", KNOWN - 2)] {
            ear.ticket_left(name);
            assert_eq!((heard(&ear), ear.ahead()), (CHANGED, left), "it may sleep for less long");
        }
        ear.look_further();
        assert_eq!(ear.next_ahead().as_deref(), Some("1"));
    }

    #[test]
    fn who_is_far_behind_relies_on_the_others_until_few_are_left() {
        let names: Vec<String> = (0..=FEW).map(|number| number.to_string()).collect();
        let ear = behind(&names.iter().map(String::as_str).collect::<Vec<_>>());
        ear.look_further();
        assert_eq!((ear.next_ahead(), ear.relies_on()), (None, KNOWN));
        ear.ticket_left("0");
        assert_eq!((heard(&ear), ear.relies_on()), (CHANGED, FRONT), "it looks for itself soon");
        ear.ticket_left("1");
        assert_eq!(heard(&ear), 0);
        ear.look_further();
        assert!(ear.next_ahead().is_some());
    }

    #[test]
    fn who_has_too_few_before_it_does_not_look_further() {
        let ear = behind(&["1", "2"]);
        ear.look_further();
        ear.gone("1");
        ear.look_further();
        assert_eq!(lock(&ear.line).further, 1);
    }

    #[test]
    fn in_doubt_the_nearest_are_looked_at_anew() {
        let ear = behind(&["1", "2", "3"]);
        ear.doubt();
        assert_eq!(ear.next_ahead().as_deref(), Some("3"));
    }
}

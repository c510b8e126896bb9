//! What the heartbeat has to do: timers, and queues of calls that wait for a slot.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::held::{Due, HeldLease, LONGEST_SLEEP, News};
use crate::{Claim, OwnerId, Timestamp, Ttl};

#[derive(Default)]
pub(super) struct Work {
    /// Leases by the time of their next timer: every one whose renewal isn't under way.
    timers: BTreeMap<(Timestamp, OwnerId), Arc<HeldLease>>,
    /// Leases whose renewal waits for a slot. Their deadlines are among the timers.
    renewals: VecDeque<Arc<HeldLease>>,
    /// How many at the end of `renewals` have no timer yet.
    unarmed: usize,
    /// Leases whose renewal is under way. They have no timer here: the call's own limit is no later
    /// than the deadline. In order, as everything here: what is done follows from what was asked alone.
    renewing: BTreeMap<OwnerId, Arc<HeldLease>>,
    /// When the leases in `renewing` were last held against the clock.
    looked_at: Option<Timestamp>,
    pub(super) releases: VecDeque<PendingRelease>,
    /// How many releases are under way.
    pub(super) releasing: usize,
    /// How many releases failed, ever.
    pub(super) failed: usize,
    /// Leases that ended and whose end is to be told, outside of this lock.
    pub(super) news: Vec<(Arc<HeldLease>, News)>,
    /// Owners whose lease may be lost, as their backend hinted.
    pub(super) hints: HashSet<OwnerId>,
    /// Until when the heartbeat sleeps; `None` when it sleeps until it is woken.
    sleeps_until: Option<Timestamp>,
    /// No user is left that could add anything.
    pub(super) closed: bool,
}

/// Something to be released in the background.
pub(super) struct PendingRelease {
    pub(super) claim: Claim,
    pub(super) ttl: Ttl,
    /// The lease that the release ends; none when an acquire was given up.
    pub(super) lease: Option<Arc<HeldLease>>,
}

impl PendingRelease {
    pub(super) fn of_claim(claim: Claim, ttl: Ttl) -> Self {
        Self { claim, ttl, lease: None }
    }

    pub(super) fn of_lease(lease: Arc<HeldLease>) -> Self {
        Self { claim: lease.claim().clone(), ttl: lease.lease().ttl(), lease: Some(lease) }
    }
}

impl Work {
    pub(super) fn leases(&self) -> impl Iterator<Item = &Arc<HeldLease>> {
        self.timers.values().chain(self.renewing.values())
    }

    /// Puts a lease into the timers. Answers whether that is before the heartbeat would wake.
    pub(super) fn arm(&mut self, lease: Arc<HeldLease>) -> bool {
        let Some(at) = lease.next_timer() else { return false };
        lease.rearm(Some(at));
        self.timers.insert((at, lease.owner()), lease);
        self.sleeps_until.is_none_or(|until| at < until)
    }

    pub(super) fn disarm(&mut self, lease: &HeldLease) {
        if let Some(at) = lease.rearm(None) {
            self.timers.remove(&(at, lease.owner()));
        }
    }

    /// A renewal is over. Answers whether the heartbeat must be woken.
    pub(super) fn renewal_is_over(&mut self, lease: &Arc<HeldLease>) -> bool {
        self.renewing.remove(&lease.owner());
        self.arm(lease.clone()) || !self.renewals.is_empty()
    }

    /// Ends what is over and queues the renewals that are due.
    pub(super) fn fire_timers(&mut self, now: Timestamp) {
        while let Some(timer) = self.timers.first_entry().filter(|timer| timer.key().0 <= now) {
            let lease = timer.remove();
            lease.rearm(None);
            let (due, news) = lease.on_timer();
            self.news.extend(news.map(|news| (lease.clone(), news)));
            if due == Due::Renewal {
                self.renewals.push_back(lease);
                self.unarmed += 1;
            } else {
                self.arm(lease);
            }
        }
    }

    /// Takes the renewals for which there is a slot. The others get timers for their deadlines.
    pub(super) fn begin_renewals(&mut self, slots: &Arc<Semaphore>) -> Vec<(Arc<HeldLease>, OwnedSemaphorePermit)> {
        let mut begun = Vec::new();
        while !self.renewals.is_empty()
            && let Ok(slot) = slots.clone().try_acquire_owned()
            && let Some(lease) = self.renewals.pop_front()
        {
            self.disarm(&lease);
            let (begun_now, news) = lease.begin_renewal();
            self.news.extend(news.map(|news| (lease.clone(), news)));
            if begun_now {
                self.renewing.insert(lease.owner(), lease.clone());
                begun.push((lease, slot));
            }
        }
        // Only those that came now: a long backlog must not be walked at every turn.
        let fresh = std::mem::take(&mut self.unarmed).min(self.renewals.len());
        for index in self.renewals.len() - fresh..self.renewals.len() {
            self.arm(self.renewals[index].clone());
        }
        begun
    }

    pub(super) fn begin_releases(&mut self, slots: &Arc<Semaphore>) -> Vec<(PendingRelease, OwnedSemaphorePermit)> {
        let mut begun = Vec::new();
        while !self.releases.is_empty()
            && let Ok(slot) = slots.clone().try_acquire_owned()
            && let Some(release) = self.releases.pop_front()
        {
            self.releasing += 1;
            begun.push((release, slot));
        }
        begun
    }

    /// One walk over the leases however many hints there are: a store that restarts hints at all.
    pub(super) fn take_hints(&mut self) {
        if self.hints.is_empty() {
            return;
        }
        let hints = std::mem::take(&mut self.hints);
        let leases: Vec<_> = self.leases().filter(|lease| hints.contains(&lease.owner())).cloned().collect();
        for lease in leases {
            lease.renew_now();
            if !self.renewing.contains_key(&lease.owner()) {
                self.disarm(&lease);
                self.arm(lease);
            }
        }
    }

    /// Holds the leases whose renewal is under way against the clock. Their calls' limits are tokio's
    /// timers, which stand still while the host is suspended; the boot clock doesn't.
    pub(super) fn look_at_renewing(&mut self, now: Timestamp) {
        if self.looked_at.is_none_or(|at| now.since(at) >= LONGEST_SLEEP) {
            self.looked_at = Some(now);
            let news = self.renewing.values().filter_map(|lease| Some((lease.clone(), lease.look()?)));
            self.news.extend(news);
        }
    }

    /// How long the heartbeat may sleep; `None` when nobody needs it any more.
    pub(super) fn sleep(&mut self, now: Timestamp) -> Option<Duration> {
        let keeps = !self.timers.is_empty() || !self.renewing.is_empty();
        if self.closed && !keeps && self.releases.is_empty() && self.releasing == 0 {
            return None;
        }
        let next = self.timers.keys().next().map_or(LONGEST_SLEEP, |(at, _)| at.since(now).min(LONGEST_SLEEP));
        self.sleeps_until = keeps.then_some(now + next);
        Some(if keeps { next } else { Duration::MAX })
    }
}

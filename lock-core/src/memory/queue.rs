//! The waiters of one key, first come first served.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::GRACE;
use crate::{AcquireRequest, HolderInfo, LockKey, LockRecord, OwnerId};

/// The waiters of one key. While the lock is free it is reserved for the first of them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    places: VecDeque<Place>,
    reserved_until: Option<Instant>,
}

#[derive(Debug)]
struct Place {
    owner: OwnerId,
    holder: Arc<HolderInfo>,
    wake: Arc<Notify>,
    /// How many calls of `wait` are under way: a caller may begin the next before it drops the last.
    waits: u32,
    idle_since: Instant,
}

/// The first waiter's right to a free lock.
pub(super) struct Reservation<'a> {
    place: &'a Place,
    until: Instant,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Begins a `wait`: in the owner's place if it has one, else in a new one at the end.
    pub(super) fn join(&mut self, request: &AcquireRequest, now: Instant) -> Arc<Notify> {
        if let Some(place) = self.places.iter_mut().find(|place| place.owner == request.owner()) {
            place.waits += 1;
            return place.wake.clone();
        }
        let wake = Arc::new(Notify::new());
        let holder = request.holder_shared();
        self.places.push_back(Place { owner: request.owner(), holder, wake: wake.clone(), waits: 1, idle_since: now });
        wake
    }

    /// Ends a `wait`; the place stays for a moment.
    pub(super) fn step_away(&mut self, owner: OwnerId, now: Instant) {
        if let Some(place) = self.places.iter_mut().find(|place| place.owner == owner) {
            place.waits = place.waits.saturating_sub(1);
            place.idle_since = now;
            self.wake_deputy();
        }
    }

    pub(super) fn has(&self, owner: OwnerId) -> bool {
        self.places.iter().any(|place| place.owner == owner)
    }

    /// Takes an owner out of the queue, and its reservation with it.
    pub(super) fn withdraw(&mut self, owner: OwnerId) {
        let Some(index) = self.places.iter().position(|place| place.owner == owner) else { return };
        if index == 0 {
            self.reserved_until = None;
        }
        self.places.remove(index);
        self.wake_deputy();
    }

    /// Says for whom the free lock is reserved, after giving it to the first live waiter if need be.
    pub(super) fn reserve(&mut self, now: Instant) -> Option<Reservation<'_>> {
        if self.reserved_until.is_some_and(|until| until <= now) {
            self.reserved_until = None;
            self.places.pop_front();
        }
        if self.reserved_until.is_none() {
            while self.places.front().is_some_and(|place| place.has_given_up(now)) {
                self.places.pop_front();
            }
            self.places.front()?.wake.notify_one();
            self.reserved_until = Some(now + GRACE);
            self.wake_deputy();
        }
        Some(Reservation { place: self.places.front()?, until: self.reserved_until? })
    }

    /// Whether nobody in it will ever come back for the lock.
    pub(super) fn is_deserted(&self, now: Instant) -> bool {
        self.places.iter().all(|place| place.has_given_up(now))
    }

    /// Wakes the next waiter after the first, so that it watches over the reservation: the first may never come,
    /// and all other waiters sleep until the end of a lease that no longer exists.
    fn wake_deputy(&self) {
        if self.reserved_until.is_some()
            && let Some(deputy) = self.places.iter().skip(1).find(|place| place.waits > 0)
        {
            deputy.wake.notify_one();
        }
    }
}

impl Place {
    fn has_given_up(&self, now: Instant) -> bool {
        self.waits == 0 && now.saturating_duration_since(self.idle_since) >= GRACE
    }
}

impl Reservation<'_> {
    pub(super) fn owner(&self) -> OwnerId {
        self.place.owner
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// What others are told: who is about to take the lock. There is no token yet.
    pub(super) fn record(&self, key: &LockKey, now: Instant) -> LockRecord {
        LockRecord::unknown(key.clone())
            .with_holder(&self.place.holder)
            .with_expires_in(self.until.saturating_duration_since(now))
    }
}

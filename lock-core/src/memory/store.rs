//! The leases of a memory store. No clock and no waiting in here: every call is told what time it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::queue::Queue;
use crate::{
    AcquireRequest, Attempt, BreakOutcome, Claim, Contention, FencingToken, Grant, HolderInfo, Lease, LockKey,
    LockRecord, OwnerId, Release, Renewal, Takeover, Ttl,
};

/// What all clients of one memory store share.
#[derive(Debug, Default)]
pub(super) struct Store(Mutex<State>);

/// What a waiter is to do.
pub(super) enum Outlook {
    /// Another try is worth while.
    Try,
    /// Nothing changes before this moment, unless the waiter is woken.
    NotBefore(Instant),
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<LockKey, Entry>,
    /// One counter for all keys: so tokens rise even for a key that was forgotten in between.
    last_token: u64,
}

/// One key. Kept small: a program may hold 100,000.
#[derive(Debug, Default)]
struct Entry {
    /// Expired leases stay until someone asks.
    lease: Option<Held>,
    queue: Option<Box<Queue>>,
}

#[derive(Debug)]
struct Held {
    owner: OwnerId,
    token: FencingToken,
    ttl: Ttl,
    deadline: Instant,
    acquired_at: SystemTime,
    holder: Arc<HolderInfo>,
}

impl Store {
    pub(super) fn try_acquire(&self, request: &AcquireRequest, ttl: Ttl, now: Instant) -> Attempt {
        let mut state = self.lock();
        state.make_room(now);
        let State { entries, last_token } = &mut *state;
        let entry = entries.entry(request.key().clone()).or_default();
        if let Some(lease) = entry.live(now)
            && lease.owner == request.owner()
        {
            lease.extend(ttl, now);
            return Attempt::Granted(Grant::new(lease.token, ttl));
        }
        if let Some(record) = entry.in_the_way(request, now) {
            let waiters = entry.queue.as_ref().map_or(0, |queue| queue.len());
            return Attempt::Held(Contention::new(record).with_waiters(waiters as u64));
        }
        entry.withdraw(request.owner());
        *last_token += 1;
        let token = FencingToken::new(*last_token);
        let lease = Held {
            owner: request.owner(),
            token,
            ttl,
            deadline: now + ttl.get(),
            acquired_at: SystemTime::now(),
            holder: request.holder_shared(),
        };
        let takeover = if entry.lease.replace(lease).is_some() { Takeover::Expired } else { Takeover::None };
        Attempt::Granted(Grant::new(token, ttl).with_takeover(takeover))
    }

    /// Begins a `wait`; `None` when there is nothing to wait for.
    pub(super) fn join(&self, request: &AcquireRequest, now: Instant) -> Option<Arc<Notify>> {
        let mut state = self.lock();
        let entry = state.entries.get_mut(request.key())?;
        entry.in_the_way(request, now)?;
        Some(entry.queue.get_or_insert_default().join(request, now))
    }

    pub(super) fn outlook(&self, request: &AcquireRequest, now: Instant) -> Outlook {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(request.key()) else { return Outlook::Try };
        // A waiter that came too late for its reservation has lost its place: it must ask to get a new one.
        if !entry.queue.as_ref().is_some_and(|queue| queue.has(request.owner())) {
            return Outlook::Try;
        }
        if let Some(lease) = entry.live(now) {
            return if lease.owner == request.owner() { Outlook::Try } else { Outlook::NotBefore(lease.deadline) };
        }
        match entry.queue.as_mut().and_then(|queue| queue.reserve(now)) {
            Some(reservation) if reservation.owner() != request.owner() => Outlook::NotBefore(reservation.until()),
            _ => Outlook::Try,
        }
    }

    /// Ends a `wait`.
    pub(super) fn step_away(&self, key: &LockKey, owner: OwnerId, now: Instant) {
        if let Some(queue) = self.lock().entries.get_mut(key).and_then(|entry| entry.queue.as_mut()) {
            queue.step_away(owner, now);
        }
    }

    pub(super) fn renew(&self, lease: &Lease, now: Instant) -> Renewal {
        let mut state = self.lock();
        match state.entries.get_mut(lease.key()).and_then(|entry| entry.live(now)) {
            Some(held) if held.owner == lease.owner() && held.token == lease.token() => {
                held.extend(lease.ttl(), now);
                Renewal::Renewed(lease.ttl())
            }
            _ => Renewal::Lost,
        }
    }

    pub(super) fn release(&self, claim: &Claim, now: Instant) -> Release {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(claim.key()) else { return Release::NotHeld };
        let released = entry.live(now).is_some_and(|lease| lease.owner == claim.owner());
        if entry.lease.as_ref().is_some_and(|lease| lease.owner == claim.owner()) {
            entry.lease = None;
        }
        entry.withdraw(claim.owner());
        state.pass_on(claim.key(), now);
        if released { Release::Released } else { Release::NotHeld }
    }

    pub(super) fn inspect(&self, key: &LockKey, now: Instant) -> Option<LockRecord> {
        self.lock().entries.get_mut(key)?.live(now).map(|lease| lease.record(key, now))
    }

    pub(super) fn list(&self, prefix: &str, now: Instant) -> Vec<LockRecord> {
        let mut records: Vec<_> = self
            .lock()
            .entries
            .iter_mut()
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .filter_map(|(key, entry)| entry.live(now).map(|lease| lease.record(key, now)))
            .collect();
        records.sort_by(|a, b| a.key().cmp(b.key()));
        records
    }

    pub(super) fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>, now: Instant) -> BreakOutcome {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(key) else { return BreakOutcome::Free };
        let Some(lease) = entry.live(now) else { return BreakOutcome::Free };
        let record = lease.record(key, now);
        if if_token.is_some_and(|token| token != lease.token) {
            return BreakOutcome::TokenDiffers(record);
        }
        entry.lease = None;
        state.pass_on(key, now);
        BreakOutcome::Broken(record)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change, so a poisoned state is still a consistent one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Offers a lock that may have become free to its first waiter, or forgets the key.
    fn pass_on(&mut self, key: &LockKey, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.live(now).is_none() && entry.queue.as_mut().and_then(|queue| queue.reserve(now)).is_none() {
            self.entries.remove(key);
        }
    }

    /// Forgets the keys that expired unnoticed, whenever the map would have to grow: so each insertion pays for a
    /// bounded part of the sweep, and one-off keys don't stay for ever.
    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < self.entries.capacity() {
            return;
        }
        self.entries.retain(|_, entry| !entry.is_spent(now));
        if self.entries.len() >= self.entries.capacity() / 2 {
            self.entries.reserve(self.entries.len().max(1));
        }
    }
}

impl Entry {
    fn live(&mut self, now: Instant) -> Option<&mut Held> {
        self.lease.as_mut().filter(|lease| now < lease.deadline)
    }

    /// What keeps this owner from the lock: a lease, or an earlier waiter's reservation.
    fn in_the_way(&mut self, request: &AcquireRequest, now: Instant) -> Option<LockRecord> {
        if let Some(lease) = self.live(now) {
            return (lease.owner != request.owner()).then(|| lease.record(request.key(), now));
        }
        let reservation = self.queue.as_mut()?.reserve(now)?;
        (reservation.owner() != request.owner()).then(|| reservation.record(request.key(), now))
    }

    fn withdraw(&mut self, owner: OwnerId) {
        if let Some(queue) = &mut self.queue {
            queue.withdraw(owner);
            if queue.len() == 0 {
                self.queue = None;
            }
        }
    }

    fn is_spent(&mut self, now: Instant) -> bool {
        self.live(now).is_none() && self.queue.as_ref().is_none_or(|queue| queue.is_deserted(now))
    }
}

impl Held {
    /// Never shortens: waiters sleep until the deadline they saw.
    fn extend(&mut self, ttl: Ttl, now: Instant) {
        self.ttl = ttl;
        self.deadline = self.deadline.max(now + ttl.get());
    }

    fn record(&self, key: &LockKey, now: Instant) -> LockRecord {
        LockRecord::unknown(key.clone())
            .with_grant(self.owner, self.token)
            .with_holder(&self.holder)
            .with_acquired_at(self.acquired_at)
            .with_lease(self.ttl, Some(self.deadline.saturating_duration_since(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_takes_little_memory() {
        // The budget is 250 bytes a lock, in a table that may be hardly more than half full.
        assert!(size_of::<(LockKey, Entry)>() <= 112, "{}", size_of::<(LockKey, Entry)>());
    }

    #[test]
    fn keys_that_expired_unnoticed_are_forgotten() {
        let (store, start) = (Store::default(), Instant::now());
        let ttl = Ttl::new(Ttl::MIN).unwrap();
        for n in 0..1_000_u64 {
            let request = AcquireRequest::new(LockKey::new(format!("one-off/{n}")).unwrap(), ttl);
            store.try_acquire(&request, ttl, start + 2 * ttl.get() * u32::try_from(n).unwrap());
        }
        assert!(store.lock().entries.len() < 10);
    }
}

//! The simulated store: leases, tokens, and who waits. No network and no timers in here: every call is told what
//! time it is by the store's own clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::clock::Nanos;
use super::message::{Answer, Envelope, Request};
use crate::{
    AcquireRequest, Attempt, Claim, Contention, FencingToken, Grant, Lease, LockRecord, LossHint, OwnerId, Release,
    Renewal, Takeover, Ttl,
};

#[derive(Debug, Default)]
pub(super) struct Store {
    leases: BTreeMap<String, Held>,
    /// Long polls, in the order of their arrival.
    waiting: VecDeque<Envelope>,
    last_token: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) owner: OwnerId,
    pub(super) client: usize,
    pub(super) hint: LossHint,
    token: u64,
    ttl: Ttl,
    /// On the store's clock.
    expires: Nanos,
}

impl Store {
    /// Does what a request asks. `None`: it waits, and is answered later.
    pub(super) fn handle(&mut self, envelope: &Envelope, now: Nanos) -> Option<Answer> {
        match &envelope.request {
            Request::Acquire(request) => Some(Answer::Attempt(Box::new(self.acquire(request, envelope.client, now)))),
            Request::Wait(request) => {
                let is_held = self.live(request.key().as_str(), now).is_some_and(|held| held.owner != request.owner());
                if !is_held {
                    return Some(Answer::Try);
                }
                self.waiting.push_back(envelope.clone());
                None
            }
            Request::Renew(lease) => Some(Answer::Renewal(self.renew(lease, now))),
            Request::Release(claim) => Some(Answer::Release(self.release(claim, now))),
        }
    }

    fn acquire(&mut self, request: &AcquireRequest, client: usize, now: Nanos) -> Attempt {
        let (key, owner, ttl) = (request.key(), request.owner(), request.ttl());
        self.waiting.retain(|waiting| waiting.request.owner() != owner);
        let expired = self.leases.contains_key(key.as_str());
        if let Some(held) = self.live(key.as_str(), now) {
            if held.owner != owner {
                let left = Duration::from_nanos(held.expires - now);
                let record = LockRecord::unknown(key.clone())
                    .with_grant(held.owner, FencingToken::new(held.token))
                    .with_lease(held.ttl, Some(left));
                return Attempt::Held(Contention::new(record));
            }
            held.extend(ttl, now);
            return Attempt::Granted(Grant::new(FencingToken::new(held.token), ttl));
        }
        // The store's wall clock in microseconds: so tokens rise even if all data was lost.
        let token = (self.last_token + 1).max(now / 1_000);
        self.last_token = token;
        let hint = request.loss_hint().clone();
        // As a store that hands a lock to a waiter does, which may have died: now and then the first lease is a short one.
        let lives = if token.is_multiple_of(4) { ttl.get() / 2 } else { ttl.get() };
        let held = Held { owner, client, hint, token, ttl, expires: now + super::clock::nanos(lives) };
        self.leases.insert(key.as_str().to_owned(), held);
        let takeover = if expired { Takeover::Expired } else { Takeover::None };
        Attempt::Granted(Grant::new(FencingToken::new(token), ttl).with_takeover(takeover).with_first_lease(lives))
    }

    fn renew(&mut self, lease: &Lease, now: Nanos) -> Renewal {
        match self.live(lease.key().as_str(), now) {
            Some(held) if held.owner == lease.owner() && held.token == lease.token().get() => {
                held.extend(lease.ttl(), now);
                Renewal::Renewed(lease.ttl())
            }
            _ => Renewal::Lost,
        }
    }

    fn release(&mut self, claim: &Claim, now: Nanos) -> Release {
        self.waiting.retain(|waiting| waiting.request.owner() != claim.owner());
        if self.live(claim.key().as_str(), now).is_some_and(|held| held.owner == claim.owner()) {
            self.leases.remove(claim.key().as_str());
            return Release::Released;
        }
        Release::NotHeld
    }

    /// The first who waits for each lock that is free now: they are to be told.
    pub(super) fn woken(&mut self, now: Nanos) -> Vec<Envelope> {
        let mut woken: Vec<Envelope> = Vec::new();
        let mut index = 0;
        while index < self.waiting.len() {
            let key = self.waiting[index].request.key().to_owned();
            let told = woken.iter().any(|other| other.request.key() == key);
            if !told && self.live(&key, now).is_none() {
                self.leases.remove(&key);
                woken.extend(self.waiting.remove(index));
            } else {
                index += 1;
            }
        }
        woken
    }

    /// When the next lease ends for which somebody waits, on the store's clock.
    pub(super) fn next_expiry(&self) -> Option<Nanos> {
        let awaited = self.waiting.iter().filter_map(|waiting| self.leases.get(waiting.request.key()));
        awaited.map(|held| held.expires).min()
    }

    /// What is held now.
    pub(super) fn held(&self, now: Nanos) -> impl Iterator<Item = (&String, &Held)> {
        self.leases.iter().filter(move |(_, held)| now < held.expires)
    }

    /// An operator takes a lock away.
    pub(super) fn break_lock(&mut self, key: &str) -> Option<Held> {
        self.leases.remove(key)
    }

    /// Everything is gone; answers what was held.
    pub(super) fn lose_data(&mut self) -> Vec<Held> {
        self.last_token = 0;
        std::mem::take(&mut self.leases).into_values().collect()
    }

    /// The connections break; answers who waited.
    pub(super) fn hang_up(&mut self) -> Vec<Envelope> {
        self.waiting.drain(..).collect()
    }

    fn live(&mut self, key: &str, now: Nanos) -> Option<&mut Held> {
        self.leases.get_mut(key).filter(|held| now < held.expires)
    }
}

impl Held {
    fn extend(&mut self, ttl: Ttl, now: Nanos) {
        self.ttl = ttl;
        self.expires = self.expires.max(now + super::clock::nanos(ttl.get()));
    }
}

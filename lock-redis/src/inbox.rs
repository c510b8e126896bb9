//! What the servers tell this client without being asked: whose turn it is, and who lost a lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use lock_core::{FencingToken, LossHint, OwnerId};
use redis::Value;

use crate::place::Place;
use crate::shared::Shared;

/// The place of an owner whose release was never answered is remembered for as long, should it be asked again.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Everybody in this client who waits for a message.
pub(crate) struct Inbox {
    known: Mutex<Known>,
    shared: Weak<Shared>,
}

#[derive(Default)]
struct Known {
    /// Owners with a place in a queue, whether they wait at this moment or not.
    waiting: HashMap<OwnerId, Arc<Place>>,
    /// Those among them whose release was sent.
    leaving: VecDeque<(Instant, OwnerId)>,
    /// Owners that hold a lock.
    holding: HashMap<OwnerId, (FencingToken, LossHint)>,
}

/// A message.
enum Message<'a> {
    /// The owner's lock with this token was taken away.
    Lost(OwnerId, FencingToken),
    /// The lock is the owner's, with this token.
    Turn(OwnerId, FencingToken, &'a str),
}

impl Inbox {
    pub(crate) fn new(shared: Weak<Shared>) -> Self {
        Self { known: Mutex::default(), shared }
    }

    /// The owner is about to stand in line.
    pub(crate) fn lines_up(&self, owner: OwnerId, place: Arc<Place>) {
        let mut known = self.known();
        while known.leaving.front().is_some_and(|(since, _)| since.elapsed() > REMEMBERED) {
            let (_, owner) = known.leaving.pop_front().expect("it was there a moment ago");
            known.waiting.remove(&owner);
        }
        known.waiting.insert(owner, place);
    }

    /// The owner holds a lock now.
    pub(crate) fn holds(&self, owner: OwnerId, token: FencingToken, hint: LossHint) {
        let mut known = self.known();
        known.waiting.remove(&owner);
        known.holding.insert(owner, (token, hint));
    }

    /// The owner's place, if it has one.
    pub(crate) fn place_of(&self, owner: OwnerId) -> Option<Arc<Place>> {
        self.known().waiting.get(&owner).cloned()
    }

    /// The owner is about to let go of all it has. Its place is remembered: a release whose reply is lost is asked again.
    pub(crate) fn leaves(&self, owner: OwnerId) -> Option<Arc<Place>> {
        let mut known = self.known();
        known.holding.remove(&owner);
        let place = known.waiting.get(&owner).cloned();
        if place.is_some() {
            known.leaving.push_back((Instant::now(), owner));
        }
        place
    }

    /// The owner has nothing any more.
    pub(crate) fn has_left(&self, owner: OwnerId) {
        let mut known = self.known();
        known.holding.remove(&owner);
        known.waiting.remove(&owner);
    }

    /// Lets all who wait look for themselves: messages may have been lost.
    pub(crate) fn look_all(&self) {
        for place in self.known().waiting.values() {
            place.wake();
        }
    }

    /// A message came.
    pub(crate) fn message(&self, data: &[Value]) {
        let Some(Value::BulkString(text)) = data.last() else { return };
        match std::str::from_utf8(text).ok().and_then(Message::read) {
            Some(Message::Lost(owner, token)) => self.lost(owner, token),
            Some(Message::Turn(owner, token, lock)) => self.turn(owner, token, lock),
            None => {}
        }
    }

    fn lost(&self, owner: OwnerId, token: FencingToken) {
        let known = self.known();
        if let Some(place) = known.waiting.get(&owner) {
            place.lost(token);
        }
        let hint = known.holding.get(&owner).map(|(_, hint)| hint.clone());
        drop(known);
        if let Some(hint) = hint {
            hint.fire(owner);
        }
    }

    fn turn(&self, owner: OwnerId, token: FencingToken, lock: &str) {
        let known = self.known();
        if let Some(place) = known.waiting.get(&owner) {
            place.comes(token);
            return;
        }
        // It knows, or has had another turn since.
        if known.holding.get(&owner).is_some_and(|(held, _)| *held >= token) {
            return;
        }
        drop(known);
        // It gave up, and its place was found before that was known, or came late. The next one need not wait for it.
        if let Some(shared) = self.shared.upgrade() {
            let lock = lock.to_owned();
            tokio::spawn(async move { shared.decline(owner, token, lock).await });
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Message<'a> {
    /// "lost OWNER TOKEN", or "OWNER TOKEN LOCK".
    fn read(text: &'a str) -> Option<Self> {
        let (first, rest) = text.split_once(' ')?;
        let (second, third) = rest.split_once(' ')?;
        if first == "lost" {
            return Some(Self::Lost(second.parse().ok()?, third.parse().ok()?));
        }
        Some(Self::Turn(first.parse().ok()?, second.parse().ok()?, third))
    }
}

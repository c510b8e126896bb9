//! An owner's place in a lock's queue, and what is known of its turn.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{FencingToken, OwnerId, Timestamp, Ttl};
use tokio::sync::Notify;

/// How long a lock that was handed to a waiter is kept for it without being renewed: its TTL, but not longer than this,
/// which is what a waiter that hangs costs the next one.
pub(crate) const KEPT_AT_MOST: Duration = Duration::from_secs(2);
/// And not shorter than this: who missed the message must find the lock when it looks.
pub(crate) const KEPT_AT_LEAST: Duration = Duration::from_millis(500);

/// One part in so many of the time since the look may be our clock's fault.
const DRIFT: u32 = 50;

/// What standing in line or a look at the queue told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlook {
    /// How long the lock is held yet, if that was asked for.
    pub(crate) left: Option<Duration>,
    /// How many wait before this one.
    pub(crate) before: u32,
}

/// A place in a queue.
pub(crate) struct Place {
    owner: OwnerId,
    /// Where its message comes; `None` for the client's own channel.
    channel: Option<String>,
    /// What the owner says of itself.
    pub(crate) body: String,
    ttl: Ttl,
    kept: Duration,
    wake: Notify,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When the last look was sent that found the lock in others' hands. (To stand in line is such a look: nobody is handed
    /// a lock before that.)
    looked: Option<Timestamp>,
    /// The greatest token known to be over, or in others' hands. A message with one that isn't greater comes late.
    seen: Option<FencingToken>,
    /// The token of the turn that a message told of.
    turn: Option<FencingToken>,
    /// What was told when the place was taken, until somebody asks.
    outlook: Option<Outlook>,
}

impl Place {
    /// The place of an owner that is woken on `channel`, or on the client's own.
    pub(crate) fn new(owner: OwnerId, ttl: Ttl, channel: Option<String>, body: String) -> Self {
        let kept = ttl.get().clamp(KEPT_AT_LEAST, KEPT_AT_MOST);
        Self { owner, channel, body, ttl, kept, wake: Notify::new(), known: Mutex::default() }
    }

    /// The element in the list, of a client whose own channel is `own`. `acquire.lua` writes the same.
    pub(crate) fn entry(&self, own: &str) -> String {
        let (channel, kept) = (self.channel.as_deref().unwrap_or(own), self.kept_ms());
        format!("{} {channel} {kept} {}", self.owner, self.body)
    }

    /// For how long the lock is kept for it once its turn comes, in ms.
    pub(crate) fn kept_ms(&self) -> u128 {
        self.kept.as_millis()
    }

    /// It stands in line, since a moment after `sent`, behind the holder with this token.
    pub(crate) fn stands(&self, sent: Timestamp, holder: Option<FencingToken>, outlook: Outlook) {
        let mut known = self.known();
        known.looked = Some(sent);
        known.seen = known.seen.max(holder);
        known.outlook = Some(outlook);
    }

    /// A look that was sent at `sent` found somebody else in the lock: with a token, if it is one of ours.
    pub(crate) fn looked(&self, sent: Timestamp, holder: Option<FencingToken>) {
        let mut known = self.known();
        // Of two holders that have no token, one can't say which came first.
        known.looked = holder.map(|_| sent);
        known.seen = known.seen.max(holder);
    }

    /// What was told when the place was taken; the first time only.
    pub(crate) fn take_outlook(&self) -> Option<Outlook> {
        self.known().outlook.take()
    }

    /// A message says that the lock is this place's, with this token.
    pub(crate) fn comes(&self, token: FencingToken) {
        let mut known = self.known();
        // One that comes late doesn't hide one that is still to be taken.
        known.turn = known.turn.max(Some(token));
        drop(known);
        self.wake();
    }

    /// A message says that the lock isn't this place's with this token any more.
    pub(crate) fn lost(&self, token: FencingToken) {
        let mut known = self.known();
        known.seen = known.seen.max(Some(token));
        drop(known);
        self.wake();
    }

    /// Another try may be worth while.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits for [`wake`](Self::wake), or for one before.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The token, and how long the lease lives from `now` on, if the message alone is proof enough that the lock is held.
    ///
    /// The lock was handed over after the last look was sent, since that found it in others' hands, and is kept for a time
    /// that the server counts from the handing over. So what is left of that time, counted from the look, is sure. A message
    /// from before the look (on another connection it may come after it) tells a token that isn't greater than the one seen.
    pub(crate) fn take_turn(&self, now: Timestamp) -> Option<(FencingToken, Duration)> {
        let mut known = self.known();
        let turn = known.turn.take()?;
        let is_news = known.seen.is_none_or(|seen| turn > seen);
        known.seen = known.seen.max(Some(turn));
        let age = now.since(known.looked?);
        // With less than three quarters left, it is better to ask. So it is if the TTL is shorter than the lock is kept.
        let worth = age <= self.kept / 4 && self.kept <= self.ttl.get();
        // The supervisor's margin for clocks that run apart is a part of what it is told is left.
        (is_news && worth).then(|| (turn, self.kept.saturating_sub(age + self.kept / DRIFT)))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: FencingToken = FencingToken::new(7);

    fn at(ms: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(ms))
    }

    fn place(ttl: Duration) -> Place {
        let ttl = Ttl::new(ttl).unwrap();
        let place = Place::new(OwnerId::mint(), ttl, None, "{}".to_owned());
        place.stands(at(1_000), Some(FencingToken::new(5)), Outlook { left: None, before: 0 });
        place
    }

    fn turn(place: &Place, now: Timestamp) -> Option<(u64, u128)> {
        place.take_turn(now).map(|(token, lives)| (token.get(), lives.as_millis()))
    }

    #[test]
    fn a_turn_lives_for_what_is_left_since_the_last_look() {
        let place = place(Duration::from_secs(15));
        assert_eq!(turn(&place, at(1_000)), None, "no message");
        place.comes(TOKEN);
        assert_eq!(turn(&place, at(1_300)), Some((7, 1_660)));
        assert_eq!(turn(&place, at(1_300)), None, "once only");
        place.looked(at(5_000), Some(TOKEN));
        place.comes(FencingToken::new(8));
        assert_eq!(turn(&place, at(5_100)), Some((8, 1_860)));
    }

    #[test]
    fn a_turn_long_after_the_last_look_is_asked_for() {
        let place = place(Duration::from_secs(15));
        place.comes(TOKEN);
        assert_eq!(turn(&place, at(1_501)), None);
        place.comes(FencingToken::new(8));
        assert!(turn(&place, at(1_500)).is_some());
    }

    #[test]
    fn a_message_from_before_the_last_look_proves_nothing() {
        let place = place(Duration::from_secs(15));
        // It had its turn, missed it, and the look found the next one.
        place.looked(at(4_000), Some(FencingToken::new(9)));
        place.comes(TOKEN);
        assert_eq!(turn(&place, at(4_001)), None);
        place.looked(at(5_000), None);
        place.comes(FencingToken::new(10));
        assert_eq!(turn(&place, at(5_001)), None, "a foreign lock has no token to compare with");
    }

    #[test]
    fn a_turn_that_was_taken_away_is_none() {
        let place = place(Duration::from_secs(15));
        place.comes(TOKEN);
        place.lost(TOKEN);
        assert_eq!(turn(&place, at(1_001)), None);
        // The two come over different connections, and messages may come twice.
        place.comes(TOKEN);
        assert_eq!(turn(&place, at(1_001)), None);
    }

    #[test]
    fn messages_that_come_late_or_twice_prove_nothing() {
        let place = place(Duration::from_secs(15));
        place.comes(FencingToken::new(5));
        assert_eq!(turn(&place, at(1_001)), None, "that was the holder behind which it lined up");
        place.comes(TOKEN);
        place.comes(FencingToken::new(6));
        assert_eq!(turn(&place, at(1_001)).map(|(token, _)| token), Some(7), "the late one doesn't hide it");
        place.comes(TOKEN);
        assert_eq!(turn(&place, at(1_001)), None);
    }

    #[test]
    fn a_lock_kept_for_longer_than_its_ttl_is_asked_for() {
        let place = place(Duration::from_millis(400));
        assert!(place.entry("c").ends_with(" c 500 {}"));
        place.comes(TOKEN);
        assert_eq!(turn(&place, at(1_001)), None);
    }
}

//! What this process knows of its owners: who waits, who holds, and whose requests are still unanswered.

use lock_core::{AcquireRequest, LossHint, OwnerId, Timestamp, Ttl};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

use crate::backend::now;
use crate::granting::HangsOn;
use crate::life::Life;
use crate::news::Deletion;
use crate::queue::Predecessor;
use crate::successor::Successor;
use crate::watch::Watching;

/// The owners that may have something at the store. All of it could be asked of the store; knowing it saves requests,
/// and where it isn't known, the store is asked.
#[derive(Default)]
pub(crate) struct Owners {
    known: Mutex<HashMap<OwnerId, Owner>>,
    /// Told when an owner's lease is granted, or its grant given up.
    pub(crate) granted: Notify,
}

pub(crate) struct Owner {
    pub(crate) state: State,
    pub(crate) ttl: Ttl,
    /// When it sent its last request.
    pub(crate) asked: Timestamp,
    /// When the lease was last kept alive: before the request was sent that was answered. Zero until one was: a lease may have
    /// been granted long ago, and its answer lost.
    pub(crate) kept_alive: Timestamp,
    /// Requests that could still be applied. Whoever gives up must make sure that they aren't.
    pub(crate) unanswered: u32,
    pub(crate) hint: LossHint,
    pub(crate) watch: Watch,
    pub(crate) ahead: Ahead,
    /// A holder that stood in the queue: likely somebody stands behind it.
    pub(crate) lined_up: bool,
    /// Who does, if that is known.
    pub(crate) behind: Option<Successor>,
    pub(crate) hangs_on: HangsOn,
    /// What it sent as a member of a group was withdrawn, and so would be what it sends as one again.
    pub(crate) on_its_own: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Requests were sent. What became of them isn't known yet.
    Asking,
    /// In the queue, since this revision.
    Waiting(i64),
    /// Granted, with this revision as token.
    Holding(i64),
}

/// What a waiter knows of the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Ahead {
    #[default]
    Unknown,
    /// It was there when the place was taken.
    There(Predecessor),
    /// It is gone, as a watch told.
    Gone(Deletion),
    /// It handed the lock over, to the place with this create revision.
    HandedOver(i64),
}

/// What watches the key of a holder.
#[derive(Default)]
pub(crate) enum Watch {
    #[default]
    None,
    /// Asked for, and not in place yet.
    Begun(Watching),
    /// In place, and the key was read after that.
    Live(#[expect(dead_code, reason = "dropping it ends the watch")] Watching),
    /// It told that the key is gone.
    Deleted,
}

impl Owner {
    /// The deletion that ended its wait, while one member's word is good enough for a grant (DESIGN.md, "One member's
    /// word"): not when the lease may be over. Its keep-alives come every third of a TTL; after half of one, this process
    /// stood still.
    pub(crate) fn take_gone(&mut self) -> Option<Deletion> {
        let Ahead::Gone(deletion) = std::mem::take(&mut self.ahead) else { return None };
        self.lives_on().then_some(deletion)
    }

    /// Whether the one before handed the lock over, under the same condition; and how long the lease lives.
    pub(crate) fn take_handed_over(&mut self) -> Option<(i64, Life)> {
        let Ahead::HandedOver(revision) = self.ahead else { return None };
        self.ahead = Ahead::Unknown;
        // A place that was lost and taken anew meanwhile is another.
        let is_its = self.state == State::Waiting(revision) && self.hangs_on.group().is_none();
        (is_its && self.lives_on()).then(|| (revision, self.life()))
    }

    /// Whether it has a lease of its own, or needs one: no group is for it.
    pub(crate) fn hangs_alone(&self) -> bool {
        self.on_its_own || self.hangs_on.own().is_some()
    }

    /// How long its lease lives, if it has one.
    pub(crate) fn life(&self) -> Life {
        Life { ttl: self.ttl, kept_alive: self.kept_alive }
    }

    fn lives_on(&self) -> bool {
        now().since(self.kept_alive) < self.ttl.get() / 2
    }
}

impl Owners {
    pub(crate) fn state(&self, owner: OwnerId) -> Option<State> {
        self.lock().get(&owner).map(|known| known.state)
    }

    /// Looks at what is known of an owner, or changes it.
    pub(crate) fn with<T>(&self, owner: OwnerId, look: impl FnOnce(&mut Owner) -> T) -> Option<T> {
        self.lock().get_mut(&owner).map(look)
    }

    pub(crate) fn remove(&self, owner: OwnerId) -> Option<Owner> {
        self.lock().remove(&owner)
    }

    pub(crate) fn put_back(&self, owner: OwnerId, known: Owner) {
        self.lock().insert(owner, known);
    }

    /// Forgets an owner of whom nothing is left at the store, unless requests of its may still be applied.
    pub(crate) fn forget(&self, owner: OwnerId) {
        let mut owners = self.lock();
        match owners.get_mut(&owner) {
            Some(known) if known.unanswered > 0 => (known.state, known.ahead) = (State::Asking, Ahead::Unknown),
            _ => drop(owners.remove(&owner)),
        }
    }

    /// Notes that something is being sent that could be applied late. Counts as unanswered unless it is told otherwise.
    pub(crate) fn sending<'a>(&'a self, request: &AcquireRequest, ttl: Ttl) -> Sending<'a> {
        let (mut owners, now) = (self.lock(), now());
        let known = entry(&mut owners, request, ttl);
        (known.asked, known.unanswered) = (now, known.unanswered + 1);
        drop(owners);
        Sending { owners: self, owner: request.owner() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<OwnerId, Owner>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn entry<'a>(owners: &'a mut HashMap<OwnerId, Owner>, request: &AcquireRequest, ttl: Ttl) -> &'a mut Owner {
    owners.entry(request.owner()).or_insert_with(|| Owner {
        state: State::Asking,
        ttl,
        asked: now(),
        kept_alive: Timestamp::ZERO,
        unanswered: 0,
        hint: request.loss_hint().clone(),
        watch: Watch::None,
        ahead: Ahead::Unknown,
        lined_up: false,
        behind: None,
        hangs_on: HangsOn::Nothing,
        on_its_own: false,
    })
}

/// A request under way. Dropped without an answer, it may be applied at any time.
#[must_use]
pub(crate) struct Sending<'a> {
    owners: &'a Owners,
    owner: OwnerId,
}

impl Sending<'_> {
    /// It was applied or refused, and can't be applied later; unless it was sent before, over another way, and that has no
    /// answer.
    pub(crate) fn answered_unless(self, tried_before: bool) {
        if tried_before {
            return;
        }
        self.owners.with(self.owner, |known| known.unanswered = known.unanswered.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lock_core::LockKey;

    use super::*;

    #[test]
    fn one_members_word_is_no_grant_where_the_lease_may_be_over() {
        let owners = Owners::default();
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        let request = AcquireRequest::new(LockKey::new("x").unwrap(), ttl);
        owners.sending(&request, ttl).answered_unless(false);
        let deletion = Deletion { revision: 7, endpoint: 0 };
        let taken_when_kept_alive = |at| {
            owners.with(request.owner(), |known| {
                (known.ahead, known.kept_alive) = (Ahead::Gone(deletion), at);
                (known.take_gone(), known.take_gone())
            })
        };
        assert_eq!(taken_when_kept_alive(now()), Some((Some(deletion), None)), "once");
        // This process, or its host, stood still.
        assert_eq!(taken_when_kept_alive(Timestamp::ZERO), Some((None, None)));
    }
    #[test]
    fn what_is_handed_over_is_asked_for_where_the_lease_may_be_over() {
        let owners = Owners::default();
        let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
        let request = AcquireRequest::new(LockKey::new("x").unwrap(), ttl);
        owners.sending(&request, ttl).answered_unless(false);
        let taken_when_kept_alive = |place, at| {
            owners.with(request.owner(), |known| {
                (known.state, known.ahead, known.kept_alive) = (State::Waiting(place), Ahead::HandedOver(7), at);
                (known.take_handed_over(), known.take_handed_over())
            })
        };
        let kept_alive = now();
        let expected = Some((Some((7, Life { ttl, kept_alive })), None));
        assert_eq!(taken_when_kept_alive(7, kept_alive), expected, "it is handed over once");
        assert_eq!(taken_when_kept_alive(7, Timestamp::ZERO), Some((None, None)));
        assert_eq!(taken_when_kept_alive(8, now()), Some((None, None)), "the owner's place is another by now");
    }
}

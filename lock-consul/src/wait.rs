//! Waiting: a place in the queue, and a watch of whoever is just before it.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::{AcquireRequest, BackendError, ErrorKind, Operation, Outcome};
use tokio::time::{Instant, sleep, sleep_until};

use crate::acquire::free;
use crate::api::Txn;
use crate::backend::Shared;
use crate::error::conflict;
use crate::name::Place;
use crate::owners::{Mine, Turn};
use crate::record::Record;
use crate::refusal::Refusal;
use crate::session::LONGEST_IN_QUEUE;
use crate::tree::Tree;
use crate::watch::Seen;
use crate::wire::{LOCK_FLAGS, Step};

const WAIT: Operation = Operation::Wait;
/// Should news be lost, the lock is looked at after this long.
pub(crate) const FALLBACK: Duration = Duration::from_secs(10);
/// While a free lock is kept shut, from one try to the next; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
/// For how long a place in the queue is asked for, besides the lock-delay, which shuts places, too.
const PLACE_WITHIN: Duration = Duration::from_secs(2);
/// How many sessions may end before they have a place.
const SESSIONS: u32 = 3;

/// All waiters of this process together ask no more often for locks in their lock-delay.
const TRIES_APART: Duration = Duration::from_millis(2);
const LONGEST_TOGETHER: Duration = Duration::from_secs(2);

/// One more who sits out a lock-delay, until it is dropped.
struct Shut<'a>(&'a AtomicU32);

impl<'a> Shut<'a> {
    fn enter(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a waiter does next.
enum Next {
    Try,
    Watch(Seen),
}

impl Shared {
    pub(crate) async fn wait(&self, request: &AcquireRequest) -> Result<(), BackendError> {
        let place = Place::of(&self.prefix, request.key());
        let slot = self.owners.slot(&request.claim());
        loop {
            let (next, mut renewal, delays) = {
                let mut mine = slot.lock().await;
                let next = if mine.delays > 0 && mine.waits && mine.turn.is_some() {
                    // Nothing new can be seen: only its place has to be kept.
                    self.keep_place(&mut mine).await.map(|()| Next::Try)
                } else {
                    self.next(&place, request, &mut mine).await
                };
                (next.map_err(|error| error.with_key(request.key()))?, self.renewal_due(&mut mine), mine.delays)
            };
            if delays > 0 {
                self.sit_out(delays).await;
                return Ok(());
            }
            let Next::Watch(seen) = next else { return Ok(()) };
            let path = seen.key.clone();
            let mut change = pin!(self.watches.change(seen));
            let look_again = Instant::now() + FALLBACK;
            loop {
                tokio::select! {
                    entry = &mut change => {
                        let turn = entry.and_then(|entry| turn_after(&place, &path, &entry));
                        if turn.is_none() && path != place.lock {
                            // Whoever was before it has gone otherwise: another is, or the lock is.
                            break;
                        }
                        slot.lock().await.turn = turn;
                        return Ok(());
                    }
                    () = sleep_until(look_again) => break,
                    () = sleep_until(renewal) => {}
                }
                let mut mine = slot.lock().await;
                self.keep_place(&mut mine).await.map_err(|error| error.with_key(request.key()))?;
                if !mine.waits {
                    break;
                }
                renewal = self.renewal_due(&mut mine);
            }
        }
    }

    /// Renews the session of the place, if that is due. When it has ended, the place is nobody's: it is taken again, and
    /// is where it was unless somebody has swept it away meanwhile.
    async fn keep_place(&self, mine: &mut Mine) -> Result<(), BackendError> {
        let now = self.now();
        if let Some(session) = mine.of_place()
            && session.renewal_due_in(now).is_zero()
            && !self.renew_session(WAIT, session).await?
        {
            mine.place_is_lost();
        }
        Ok(())
    }

    /// The lock looks free and is kept shut: only time helps, and nobody tells when. The more wait for that here, the
    /// longer each of them.
    async fn sit_out(&self, delays: u32) {
        let _counted = Shut::enter(&self.shut);
        let pause = FIRST_PAUSE.saturating_mul(1 << (delays - 1).min(8)).min(LONGEST_PAUSE);
        // Far less than a third of a session's TTL, which has to be renewed.
        sleep((TRIES_APART * self.shut.load(Ordering::Relaxed)).clamp(pause, LONGEST_TOGETHER)).await;
    }

    fn renewal_due(&self, mine: &mut Mine) -> Instant {
        let now = self.now();
        Instant::now() + mine.of_place().map_or(FALLBACK, |session| session.renewal_due_in(now))
    }

    async fn next(&self, place: &Place, request: &AcquireRequest, mine: &mut Mine) -> Result<Next, BackendError> {
        if mine.held.is_some() {
            return Ok(Next::Try);
        }
        let mut tree = None;
        if mine.waits || mine.in_doubt() {
            let seen = Tree::of(place, self.api.list(WAIT, &place.directory).await?.entries);
            mine.find_in(place, request, &seen);
            tree = Some(seen).filter(|_| mine.waits);
        }
        let tree = match tree {
            Some(tree) => tree,
            None => self.enqueue(place, request, mine).await?,
        };
        if tree.is_foreign() {
            return Err(conflict(place, WAIT));
        }
        let contender = place.contender(request.owner());
        let Some(own) = tree.contender(&contender) else { return Ok(Next::Try) };
        if let Some(before) = tree.before(own) {
            return Ok(Next::Watch(Seen { key: before.key.clone(), index: before.modify_index }));
        }
        match (&tree.lock, tree.holder()) {
            (Some(lock), Some((_, session))) if !mine.holds_with(session) => {
                Ok(Next::Watch(Seen { key: lock.key.clone(), index: lock.modify_index }))
            }
            (_, Some(_)) => Ok(Next::Try),
            (_, None) => {
                mine.turn = Some(free(&tree));
                Ok(Next::Try)
            }
        }
    }

    /// Takes a place at the end of the queue, and reads the lock and the queue in the same step.
    async fn enqueue(&self, place: &Place, request: &AcquireRequest, mine: &mut Mine) -> Result<Tree, BackendError> {
        let ttl = crate::backend::capabilities(self.lock_delay).grantable(request.ttl())?;
        let contender = place.contender(request.owner());
        let (mut end, mut pause) = (Instant::now() + self.lock_delay + PLACE_WITHIN, FIRST_PAUSE);
        let mut sessions = 0;
        while Instant::now() < end {
            let session = match mine.for_place(ttl.get()) {
                Some(session) => session,
                none => none.insert(self.session(WAIT, ttl.get().min(LONGEST_IN_QUEUE)).await?),
            };
            let value = Record::of(request, ttl).bytes();
            let id = session.id.clone();
            let steps = [Step::lock(&contender, &id, &value), Step::read_all(&place.directory)];
            let was_in_doubt = std::mem::replace(&mut session.in_doubt, true);
            let done = self.api.txn(WAIT, &steps).await?;
            session.in_doubt = was_in_doubt;
            match done {
                Txn::Done(entries) => {
                    mine.waits = true;
                    return Ok(Tree::of(place, entries.into_iter().skip(1).collect()));
                }
                Txn::Refused(Refusal::NoSession) if sessions < SESSIONS => {
                    // One that ended while it was kept, or while this request waited for its turn in a crowd.
                    sessions += 1;
                    end = Instant::now() + self.lock_delay + PLACE_WITHIN;
                    *mine.for_place(ttl.get()) = None;
                }
                Txn::Refused(refusal) => {
                    // The place itself is kept shut, since an earlier session of this owner ended without a
                    // release; or it is held by one.
                    tracing::debug!(?refusal, key = contender, "no place in the queue yet");
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
        let message = format!("no place in the queue could be had at {contender}");
        let advice = "an earlier session of this owner has it, or had it within the lock-delay: it is tried again";
        let error = BackendError::new(ErrorKind::Unavailable, WAIT, message).with_advice(advice);
        Err(if mine.in_doubt() { error } else { error.with_outcome(Outcome::NotApplied) })
    }
}

/// What the change of a watched key says of the lock itself: the index at which it is free, if this tells.
fn turn_after(place: &Place, path: &str, entry: &crate::wire::Entry) -> Option<Turn> {
    if entry.session().is_some() || entry.has_value() || entry.flags != LOCK_FLAGS {
        return None;
    }
    // A holder empties its place in the same transaction in which it frees the lock: they have one index.
    let litter = if path == place.lock { Vec::new() } else { vec![(path.to_owned(), entry.modify_index)] };
    Some(Turn { index: Some(entry.modify_index), litter, abandoned: false })
}

//! Waiting: a place in the queue, and a watch of whoever is just before it.

use std::pin::pin;
use std::time::Duration;

use lock_core::{AcquireRequest, BackendError, ErrorKind, Operation};
use tokio::time::{Instant, sleep, sleep_until};

use crate::acquire::{conflict, find_mine, free};
use crate::api::Txn;
use crate::backend::Shared;
use crate::name::Place;
use crate::owners::{Mine, Turn};
use crate::record::Record;
use crate::refusal::Refusal;
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
            let (next, renewal, delays) = {
                let mut mine = slot.lock().await;
                let next =
                    self.next(&place, request, &mut mine).await.map_err(|error| error.with_key(request.key()))?;
                (next, self.renewal_due(&mine), mine.delays)
            };
            if delays > 0 {
                // The key looks free: only time helps, and nobody tells when.
                sleep(FIRST_PAUSE.saturating_mul(1 << (delays - 1).min(8)).min(LONGEST_PAUSE)).await;
                return Ok(());
            }
            let Next::Watch(seen) = next else { return Ok(()) };
            let path = seen.key.clone();
            let mut change = pin!(self.watches.change(seen));
            let (mut renewal, look_again) = (renewal, Instant::now() + FALLBACK);
            loop {
                tokio::select! {
                    entry = &mut change => {
                        slot.lock().await.turn = entry.and_then(|entry| turn_after(&place, &path, &entry));
                        return Ok(());
                    }
                    () = sleep_until(look_again) => break,
                    () = sleep_until(renewal) => {}
                }
                let mut mine = slot.lock().await;
                if let Some(session) = mine.session.as_mut()
                    && !self.renew_session(WAIT, session).await.map_err(|error| error.with_key(request.key()))?
                {
                    // The place went with it: at the end of the queue again.
                    (mine.session, mine.waits) = (None, false);
                    break;
                }
                renewal = self.renewal_due(&mine);
            }
        }
    }

    fn renewal_due(&self, mine: &Mine) -> Instant {
        let due = mine.session.as_ref().map_or(FALLBACK, |session| session.renewal_due_in(self.now()));
        Instant::now() + due
    }

    async fn next(&self, place: &Place, request: &AcquireRequest, mine: &mut Mine) -> Result<Next, BackendError> {
        if mine.held.is_some() {
            return Ok(Next::Try);
        }
        let mut tree = None;
        if mine.waits || mine.in_doubt() {
            let seen = Tree::of(place, self.api.list(WAIT, &place.directory).await?.entries);
            find_mine(place, request, mine, &seen);
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
        let (end, mut pause) = (Instant::now() + self.lock_delay + PLACE_WITHIN, FIRST_PAUSE);
        while Instant::now() < end {
            let session = match &mut mine.session {
                Some(session) => session,
                none => none.insert(self.session(WAIT, ttl.get()).await?),
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
                Txn::Refused(Refusal::NoSession) => mine.session = None,
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
        Err(BackendError::new(ErrorKind::Unavailable, WAIT, message).with_advice(advice))
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

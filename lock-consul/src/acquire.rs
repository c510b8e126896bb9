//! Acquiring: a look where one is needed, and one transaction.

use lock_core::{
    AcquireRequest, Attempt, BackendError, Contention, ErrorKind, FencingToken, Grant, Operation, Outcome, Takeover,
    Ttl,
};

use crate::api::Txn;
use crate::backend::Shared;
use crate::error::conflict;
use crate::kept::Advice;
use crate::name::Place;
use crate::owners::{Held, Mine, Turn};
use crate::record::Record;
use crate::refusal::Refusal;
use crate::tree::Tree;
use crate::wire::Step;

const ACQUIRE: Operation = Operation::Acquire;
/// How often a lock that changes between look and transaction is looked at anew.
const ROUNDS: u32 = 8;
/// How many places that nobody stands in are removed along with an acquire.
const SWEPT_AT_ONCE: usize = 16;

/// What a look came to.
enum Verdict {
    Ours(FencingToken),
    Free(Turn),
    Held(Contention),
}

impl Shared {
    pub(crate) async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = crate::backend::capabilities(self.lock_delay).grantable(request.ttl())?;
        let claim = request.claim();
        let (slot, mut mine) = self.owners.locked(&claim).await;
        let answer = self.attempt(request, ttl, &mut mine).await;
        if mine.is_nothing() {
            self.owners.forget(&claim);
        }
        if let Ok(Attempt::Granted(grant)) = &answer
            && mine.watch.is_none()
        {
            self.kept.note_grant(request, grant, self.now());
            self.watched.soon(&slot, request, Place::of(&self.prefix, request.key()).lock);
        }
        answer
    }

    async fn attempt(&self, request: &AcquireRequest, ttl: Ttl, mine: &mut Mine) -> Result<Attempt, BackendError> {
        let place = Place::of(&self.prefix, request.key());
        if let Some(held) = mine.held {
            // Asked again: the lease begins anew, the token stays.
            if self.refresh(&place, mine, ACQUIRE).await?.is_some() {
                return Ok(Attempt::Granted(Grant::new(held.token, held.ttl)));
            }
            self.discard(&place, request.owner(), mine).await;
        }
        let mut turn = mine.turn.take();
        if turn.is_none() && mine.is_nothing() {
            match self.kept.advise(request, self.now()) {
                Some(Advice::Held(contention)) => return Ok(Attempt::Held(*contention)),
                Some(Advice::TakeAt(index)) => {
                    turn = Some(Turn { index: Some(index), litter: Vec::new(), abandoned: false });
                }
                None => {}
            }
        }
        for _ in 0..ROUNDS {
            let now = match turn.take() {
                Some(turn) => turn,
                None => match self.look(&place, request, mine).await? {
                    Verdict::Held(contention) => {
                        mine.delays = 0;
                        return Ok(self.refused(mine, contention).await);
                    }
                    Verdict::Ours(token) => match self.adopt(ttl, mine, token).await? {
                        Some(grant) => return Ok(Attempt::Granted(grant)),
                        None => continue,
                    },
                    Verdict::Free(turn) => turn,
                },
            };
            match self.take(&place, request, ttl, mine, &now).await? {
                Ok(grant) => return Ok(Attempt::Granted(grant)),
                Err(Refusal::LockDelay) => {
                    mine.delays += 1;
                    // As it was seen, it is tried again: nothing but the delay's end can make it ours.
                    mine.turn = Some(now).filter(|_| mine.waits && !mine.in_doubt());
                    let nobody = Contention::new(lock_core::LockRecord::unknown(request.key().clone()));
                    return Ok(self.refused(mine, nobody).await);
                }
                Err(Refusal::NoSession) => mine.session_is_lost(),
                Err(Refusal::Changed | Refusal::Held) => {}
            }
        }
        let message = format!("{} changes faster than it can be looked at", place.lock);
        let error = BackendError::new(ErrorKind::Unavailable, ACQUIRE, message)
            .with_key(request.key())
            .with_advice("others take and release it all the time: wait for it instead of trying again");
        Err(if mine.in_doubt() { error } else { error.with_outcome(Outcome::NotApplied) })
    }

    /// Reads the lock and its queue, and finds in it what this owner has there already.
    async fn look(&self, place: &Place, request: &AcquireRequest, mine: &mut Mine) -> Result<Verdict, BackendError> {
        let tree = Tree::of(place, self.api.list(ACQUIRE, &place.directory).await?.entries);
        judge(place, request, mine, &tree)
    }

    /// Takes a lock that was seen free, in one transaction that fails if it isn't any more.
    async fn take(
        &self,
        place: &Place,
        request: &AcquireRequest,
        ttl: Ttl,
        mine: &mut Mine,
        turn: &Turn,
    ) -> Result<Result<Grant, Refusal>, BackendError> {
        let now = self.now();
        let session = match &mut mine.session {
            Some(session) => session,
            none => none.insert(self.session(ACQUIRE, ttl.get()).await?),
        };
        let contender = mine.place.as_ref().filter(|_| mine.waits).map(|_| place.contender(request.owner()));
        let value = Record::of(request, ttl).bytes();
        let id = session.id.clone();
        let mut steps = vec![match turn.index {
            Some(index) => Step::unchanged(&place.lock, index),
            None => Step::absent(&place.lock),
        }];
        steps.push(Step::lock(&place.lock, &id, &value));
        steps.extend(turn.litter.iter().map(|(key, index)| Step::delete_unchanged(key, *index)));
        // A place with a session of its own ends here, and not with the lock: nobody renews it any more.
        steps.extend(contender.as_deref().map(Step::delete));
        let was_in_doubt = std::mem::replace(&mut session.in_doubt, true);
        // A session that isn't good for a whole lease any more is renewed in the same time.
        let (done, renewed) = if session.lasts(now, ttl.get()) {
            (self.api.txn(ACQUIRE, &steps).await, Ok(true))
        } else if mine.delays > 0 {
            // Tried often, and in vain but for the last time.
            let done = self.api.txn(ACQUIRE, &steps).await;
            let is_ours = matches!(done, Ok(Txn::Done(_)));
            (done, if is_ours { self.renew_session(ACQUIRE, session).await } else { Ok(true) })
        } else {
            tokio::join!(self.api.txn(ACQUIRE, &steps), self.renew_session(ACQUIRE, session))
        };
        let done = done.map_err(|error| error.with_key(request.key()))?;
        let session = mine.session.as_mut().filter(|session| session.id == id);
        if let Some(session) = session {
            session.in_doubt = was_in_doubt;
        }
        let entries = match done {
            Txn::Done(entries) => entries,
            Txn::Refused(refusal) => return Ok(Err(refusal)),
        };
        let Some(lock) = entries.iter().rfind(|entry| entry.key == place.lock) else {
            return Err(crate::error::nonsense(ACQUIRE, "the transaction's result is missing"));
        };
        let token = FencingToken::new(lock.modify_index);
        let takeover = if turn.abandoned { Takeover::Expired } else { Takeover::None };
        self.granted(ttl, mine, token).await;
        if !renewed.map_err(|error| error.with_key(request.key()))? {
            // Ended in the same moment.
            mine.held = None;
            return Ok(Err(Refusal::NoSession));
        }
        Ok(Ok(Grant::new(token, ttl).with_takeover(takeover)))
    }

    /// The lock was granted by a request whose reply was lost.
    async fn adopt(&self, ttl: Ttl, mine: &mut Mine, token: FencingToken) -> Result<Option<Grant>, BackendError> {
        let now = self.now();
        if let Some(session) = mine.session.as_mut()
            && !session.lasts(now, ttl.get())
            && !self.renew_session(ACQUIRE, session).await?
        {
            mine.session_is_lost();
            return Ok(None);
        }
        self.granted(ttl, mine, token).await;
        Ok(Some(Grant::new(token, ttl)))
    }

    /// Someone else has it: nothing is left behind, but a place in the queue.
    async fn refused(&self, mine: &mut Mine, contention: Contention) -> Attempt {
        if !mine.waits && !mine.in_doubt() {
            for session in [mine.session.take(), mine.place.take()].into_iter().flatten() {
                self.put_back(session).await;
            }
        }
        Attempt::Held(contention)
    }

    async fn granted(&self, ttl: Ttl, mine: &mut Mine, token: FencingToken) {
        mine.held = Some(Held { token, ttl });
        mine.delays = 0;
        if let Some(place) = mine.place.take() {
            mine.waits = false;
            self.put_back(place).await;
        }
    }
}

fn judge(place: &Place, request: &AcquireRequest, mine: &mut Mine, tree: &Tree) -> Result<Verdict, BackendError> {
    if tree.is_foreign() {
        return Err(conflict(place, ACQUIRE).with_key(request.key()));
    }
    mine.find_in(place, request, tree);
    match tree.holder() {
        Some((lock, session)) if mine.holds_with(session) => {
            return Ok(Verdict::Ours(FencingToken::new(lock.modify_index)));
        }
        Some(_) => return Ok(Verdict::Held(tree.contention(request.key()))),
        None => {}
    }
    // Newcomers don't overtake, and who waits takes its turn.
    if tree.live().next().is_some_and(|(_, first)| !mine.stands_with(first)) {
        return Ok(Verdict::Held(tree.contention(request.key())));
    }
    Ok(Verdict::Free(free(tree)))
}

/// The state of a lock that is free for us.
pub(crate) fn free(tree: &Tree) -> Turn {
    Turn {
        index: tree.lock.as_ref().map(|lock| lock.modify_index),
        litter: tree.litter().take(SWEPT_AT_ONCE).map(|entry| (entry.key.clone(), entry.modify_index)).collect(),
        abandoned: tree.lock.as_ref().is_some_and(crate::wire::Entry::has_value),
    }
}

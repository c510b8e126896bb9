//! Letting go: of the lock, of the place in the queue, of the session.

use lock_core::{BackendError, Claim, Operation, OwnerId, Release};

use crate::api::Txn;
use crate::backend::{MIN_TTL, Shared};
use crate::error::nonsense;
use crate::kept::Left;
use crate::name::Place;
use crate::owners::Mine;
use crate::record::Record;
use crate::session::Session;
use crate::tree::Tree;
use crate::wire::Step;

const RELEASE: Operation = Operation::Release;

impl Shared {
    pub(crate) async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        let place = Place::of(&self.prefix, claim.key());
        let Some(slot) = self.owners.known(claim) else { return self.release_unknown(&place, claim).await };
        let mut mine = slot.lock().await;
        self.kept.forget(claim.key());
        let answer = if mine.held.is_some() && !mine.in_doubt() {
            match self.let_go(&place, claim, &mut mine).await? {
                Some(answer) => answer,
                None => self.undo(&place, claim.owner(), &mut mine).await?,
            }
        } else {
            self.undo(&place, claim.owner(), &mut mine).await?
        };
        self.owners.forget(claim);
        Ok(answer)
    }

    /// The usual way, one transaction: frees the lock, leaves the queue, and reads who waits.
    /// `None`: the lock isn't ours any more, or not by this session alone.
    async fn let_go(&self, place: &Place, claim: &Claim, mine: &mut Mine) -> Result<Option<Release>, BackendError> {
        let Some(session) = &mut mine.session else { return Ok(None) };
        let contender = place.contender(claim.owner());
        let id = session.id.clone();
        let mut steps = vec![Step::unlock(&place.lock, &id)];
        if mine.waits {
            // Emptied, not deleted: its successor, who watches it, sees in it the index of this very transaction.
            // (And a watch of a deleted key wakes at any write.)
            steps.push(Step::unlock(&contender, &id));
        }
        steps.push(Step::read_all(&place.queue));
        (mine.held, mine.watch) = (None, None);
        session.in_doubt = true;
        let Txn::Done(entries) = self.api.txn(RELEASE, &steps).await.map_err(|error| error.with_key(claim.key()))?
        else {
            return Ok(None);
        };
        session.in_doubt = false;
        // What was written comes first, then what was read.
        let mut entries = entries.into_iter();
        let Some(lock) = entries.next() else { return Err(nonsense(RELEASE, "the transaction's result is missing")) };
        let tree = Tree::of_queue(place, lock, entries.skip(steps.len() - 2).collect());
        let waited = std::mem::take(&mut mine.waits);
        let session = mine.session.take();
        self.note_left(claim, &tree);
        if waited && tree.waiters().next().is_none() {
            self.sweep(&tree, &contender).await;
        }
        if let Some(session) = session {
            self.put_back(session).await;
        }
        Ok(Some(Release::Released))
    }

    fn note_left(&self, claim: &Claim, tree: &Tree) {
        if tree.waiters().next().is_some() {
            let contention = Box::new(tree.contention(claim.key()));
            self.kept.note(claim.key(), Left::Theirs { at: self.now(), contention });
        } else if let Some(lock) = &tree.lock
            && lock.session().is_none()
        {
            self.kept.note(claim.key(), Left::Free { index: lock.modify_index });
        }
    }

    /// Nobody is there who would see the emptied place, and remove it.
    async fn sweep(&self, tree: &Tree, contender: &str) {
        let Some(entry) = tree.contender(contender) else { return };
        let step = Step::delete_unchanged(contender, entry.modify_index);
        if let Err(error) = self.api.txn(RELEASE, &[step]).await {
            tracing::debug!(%error, key = contender, "an empty place stays until the next acquire");
        }
    }

    /// The sure way: frees the lock, if the session has it; then ends the session, so that not even a request that comes
    /// late does anything; and removes the place in the queue. Freed by the session's end alone, the lock would be
    /// shut for the lock-delay, and look lost to who comes next.
    async fn undo(&self, place: &Place, owner: OwnerId, mine: &mut Mine) -> Result<Release, BackendError> {
        if mine.sessions().next().is_none() {
            return Ok(Release::NotHeld);
        }
        (mine.held, mine.watch) = (None, None);
        let mut held = false;
        if let Some(session) = &mut mine.session {
            session.in_doubt = true;
            let freed = self.api.txn(RELEASE, &[Step::unlock(&place.lock, &session.id)]).await?;
            held = matches!(freed, Txn::Done(_));
            self.api.destroy_session(RELEASE, &session.id).await?;
        }
        if let Some(session) = &mut mine.place {
            session.in_doubt = true;
            self.api.destroy_session(RELEASE, &session.id).await?;
        }
        // A place without a session is nobody's: who comes next removes it, if this doesn't.
        self.leave(place, owner).await;
        *mine = Mine::default();
        Ok(if held { Release::Released } else { Release::NotHeld })
    }

    /// Nothing is known of this owner here: what the store knows counts.
    async fn release_unknown(&self, place: &Place, claim: &Claim) -> Result<Release, BackendError> {
        let owner = claim.owner();
        let tree = Tree::of(place, self.api.list(RELEASE, &place.directory).await?.entries);
        let holds = tree.holder().filter(|(lock, _)| Record::read(lock).owner() == Some(owner));
        let stands = tree.contender(&place.contender(owner)).and_then(|entry| entry.session());
        let Some(session) = holds.map(|(_, session)| session).or(stands) else { return Ok(Release::NotHeld) };
        // However long it lives: it is ended here.
        let mut mine = Mine { session: Some(Session::found(session, MIN_TTL)), ..Mine::default() };
        self.undo(place, owner, &mut mine).await
    }

    /// The lease is lost: what is left of it is taken away as far as that can be done now.
    pub(crate) async fn discard(&self, place: &Place, owner: OwnerId, mine: &mut Mine) {
        let left = std::mem::take(mine);
        for session in left.sessions() {
            if let Err(error) = self.api.destroy_session(RELEASE, &session.id).await {
                tracing::debug!(%error, session = session.id, "left to its TTL");
            }
        }
        if left.waits {
            self.leave(place, owner).await;
        }
    }

    async fn leave(&self, place: &Place, owner: OwnerId) {
        let contender = place.contender(owner);
        if let Err(error) = self.api.txn(RELEASE, &[Step::delete(&contender)]).await {
            tracing::debug!(%error, key = contender, "an empty place stays until the next acquire");
        }
    }
}

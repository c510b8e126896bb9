//! Having a place in a group, keeping the group's lease alive, and deleting who isn't renewed.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{AcquireRequest, BackendError, Claim, Operation, OwnerId, Ttl};

use crate::backend::{Shared, now};
use crate::error::Failed;
use crate::group::Group;
use crate::names::lease_of;
use crate::owners::Watch;
use crate::queue;
use crate::session::{IntoError, Session};

impl Shared {
    /// A group with room for this owner, which is its member from now on. Its lease lives for a whole TTL at least.
    /// Where an earlier request named a group already, it is that one: the key may hang on its lease.
    pub(crate) async fn join_group(
        self: &Arc<Self>,
        session: &Session,
        claim: &Claim,
        ttl: Ttl,
        before: Option<Arc<Group>>,
    ) -> Result<Arc<Group>, Failed> {
        let mut before = before.filter(|group| !group.is_over()).inspect(|group| group.enter(claim));
        loop {
            let group = match before.take().or_else(|| self.groups.with_room(claim, ttl)) {
                Some(group) => group,
                None => self.new_group(session, claim, ttl).await?,
            };
            match self.extend(session, Operation::Acquire, &group).await {
                Ok(true) => return Ok(group),
                Ok(false) => {}
                Err(failed) => {
                    // What was sent before, and has no answer, may still become a key that hangs on its lease.
                    if !self.group_of(claim.owner()).is_some_and(|its| Arc::ptr_eq(&its, &group)) {
                        group.leave(claim.owner());
                    }
                    return Err(failed);
                }
            }
        }
    }

    async fn new_group(&self, session: &Session, claim: &Claim, ttl: Ttl) -> Result<Arc<Group>, Failed> {
        let lease = fastrand::i64(1..=i64::MAX);
        let half_more = Ttl::new(ttl.get() + ttl.get() / 2).unwrap_or(ttl).round_up_to(Duration::from_secs(1));
        let sent = now();
        let granted = self.grant(session, Operation::Acquire, lease, half_more).await?.ok_or(Failed::LeaseExists)?;
        let group = Arc::new(Group::new(lease, ttl.get(), granted.get(), sent));
        group.enter(claim);
        self.groups.add(&group);
        Ok(group)
    }

    /// Sees to it that the lease lives for a whole TTL from now, and that nothing overdue lives on with it. `false` when
    /// the lease is gone.
    pub(crate) async fn extend(
        self: &Arc<Self>,
        session: &Session,
        operation: Operation,
        group: &Arc<Group>,
    ) -> Result<bool, Failed> {
        if group.is_over() || group.lives_on(now()) {
            return Ok(!group.is_over());
        }
        let _turn = group.turn.lock().await;
        let now = now();
        for claim in group.overdue(now) {
            self.delete_overdue(session, operation, group, &claim).await?;
        }
        if group.is_over() || group.lives_on(now) {
            return Ok(!group.is_over());
        }
        let lives = self.keep(session, operation, group.lease).await?;
        if lives.is_none() {
            group.is_gone();
            self.groups.forget(group);
            return Ok(false);
        }
        group.was_kept_alive(now);
        Ok(true)
    }

    /// Whoever lines up has a lease of its own. What it sent as a member of a group and has no answer to would be a second
    /// place, which nobody keeps alive, or looks for: it comes to nothing first.
    pub(crate) async fn leave_group_for_good(
        &self,
        session: &Session,
        operation: Operation,
        request: &AcquireRequest,
        ttl: Ttl,
    ) -> Result<(), BackendError> {
        let Some(group) = self.group_of(request.owner()) else { return Ok(()) };
        let place = self.queue(request.key()).place(lease_of(request.owner()));
        self.withdraw(session, operation, &place, ttl).await.or_error(operation)?;
        self.is_withdrawn(request.owner(), &group);
        Ok(())
    }

    fn is_withdrawn(&self, owner: OwnerId, group: &Group) {
        self.owners.with(owner, |known| {
            known.hangs_on.take_if(|lease| lease.group().is_some());
            known.on_its_own = true;
        });
        group.leave(owner);
    }

    /// Nobody renewed it: its key goes, and what its owner may still have on its way comes to nothing. All others of the group
    /// depend on it, so it is done without a put where that can be.
    async fn delete_overdue(
        self: &Arc<Self>,
        session: &Session,
        operation: Operation,
        group: &Group,
        claim: &Claim,
    ) -> Result<(), Failed> {
        let place = self.queue(claim.key()).place(lease_of(claim.owner()));
        let ttl = Ttl::new(group.ttl).unwrap_or_default();
        let is_answered = self.owners.with(claim.owner(), |known| known.unanswered == 0) == Some(true);
        let withdrawn = if is_answered { None } else { Some(self.withdraw(session, operation, &place, ttl).await) };
        match withdrawn {
            None => {
                self.send(session, operation, queue::leave(&place)).await?;
                group.leave(claim.owner());
            }
            // What is late is refused for want of space, too. The owner stays overdue, and is withdrawn when there is room.
            Some(Err(failed)) if failed.is_out_of_space() => {
                self.send(session, operation, queue::leave(&place)).await?;
            }
            Some(withdrawn) => {
                withdrawn?;
                self.is_withdrawn(claim.owner(), group);
            }
        }
        tracing::debug!(key = %claim.key(), "a lock that was not renewed was deleted from its shared lease");
        let hint = self.owners.with(claim.owner(), |known| {
            known.watch = Watch::Deleted;
            known.hint.clone()
        });
        if let Some(hint) = hint {
            hint.fire(claim.owner());
        }
        Ok(())
    }
}

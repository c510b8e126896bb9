//! `wait`: a place in the queue, and an eye on the one before.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{AcquireRequest, BackendError, ErrorKind, Operation, Outcome, Timestamp, Ttl};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::acquire::given_up;
use crate::backend::{LOOK_ANYWAY, Shared, now};
use crate::error::timed_out;
use crate::life::Life;
use crate::names::Place;
use crate::news::News;
use crate::owners::{Ahead, State};
use crate::queue::{self, Before, Joined, Predecessor};
use crate::session::{IntoError, Session};
use crate::told::{Told, Whose, is_deleted_at, touched_at};
use crate::transact::Sent;
use crate::value::{self, Arrival};
use crate::watch::{Of, Watching};

const OPERATION: Operation = Operation::Wait;

impl Shared {
    /// Returns when the one before is gone. Whether the lock is ours then is for `try_acquire` to see: the one before
    /// may have been a waiter that gave up.
    pub(crate) async fn wait(self: &Arc<Self>, request: &AcquireRequest) -> Result<(), BackendError> {
        let ttl = self.capabilities().grantable(request.ttl())?;
        let session = self.session();
        let Some(before) = self.line_up(&session, request, ttl).await? else { return Ok(()) };
        let place = self.own_place(request);
        let (tell, mut told) = mpsc::unbounded_channel();
        let own = watch(&session, Whose::Own, place.key.clone(), &tell).await?;
        let behind = watch(&session, Whose::Before, before.key.clone(), &tell).await?;
        both_live(&session, [&own, &behind], &mut told).await?;
        loop {
            // What happened before the watches were in place, and what a silent one forgot.
            let read =
                self.send(&session, OPERATION, queue::both(&place.key, &before.key)).await.or_error(OPERATION)?;
            match queue::stand(&read.value) {
                (false, _) => return Err(self.place_is_gone(request.owner(), OPERATION)),
                (true, false) => return Ok(()),
                (true, true) => {}
            }
            let look_anyway = sleep(LOOK_ANYWAY.mul_f64(0.8 + 0.4 * fastrand::f64()));
            tokio::pin!(look_anyway);
            loop {
                let keep_at = self.next_keep_alive(request, ttl);
                tokio::select! {
                    news = told.recv() => match news {
                        Some((Whose::Own, News::Deleted(_))) => return Err(self.place_is_gone(request.owner(), OPERATION)),
                        Some((Whose::Before, News::Deleted(deletion))) => {
                            let touch = if before.hands_over { touched_at(&mut told, deletion.revision).await } else { None };
                            let ahead = touch.map_or(Ahead::Gone(deletion), |touch| Ahead::HandedOver(touch.created));
                            self.owners.with(request.owner(), |known| known.ahead = ahead);
                            return Ok(());
                        }
                        Some((Whose::Own, News::Touched(touch))) => {
                            if is_deleted_at(&mut told, touch.revision).await {
                                let ahead = Ahead::HandedOver(touch.created);
                                self.owners.with(request.owner(), |known| known.ahead = ahead);
                            }
                            return Ok(());
                        }
                        Some((_, News::Broken(why))) => return Err(broken(&why)),
                        Some(_) | None => {}
                    },
                    () = sleep(keep_at.since(now())) => self.keep_place(&session, request).await?,
                    () = &mut look_anyway => break,
                }
            }
        }
    }

    /// Takes a place in the queue, or keeps the one that the owner has. The one before; `None` when there is none.
    async fn line_up(
        self: &Arc<Self>,
        session: &Session,
        request: &AcquireRequest,
        ttl: Ttl,
    ) -> Result<Option<Predecessor>, BackendError> {
        let known = self.owners.with(request.owner(), |known| (known.state, std::mem::take(&mut known.ahead)));
        let revision = match known {
            Some((State::Waiting(_), Ahead::There(before))) => return Ok(Some(before)),
            Some((State::Waiting(revision) | State::Holding(revision), _)) => revision,
            _ => {
                let (joined, _) = self.join(session, OPERATION, request, ttl).await?;
                match joined.before {
                    Before::Nobody => return Ok(None),
                    Before::One(before) => return Ok(Some(before)),
                    Before::Unknown => joined.revision,
                }
            }
        };
        let queue = self.queue(request.key());
        let before = session
            .call(OPERATION, |mut link| {
                let (start, options) = (queue.start(), queue::before_options(&queue, revision));
                async move { link.kv.get(start, Some(options)).await }
            })
            .await
            .or_error(OPERATION)?;
        Ok(before.value.kvs().first().map(Predecessor::of))
    }

    /// As a free lock is taken, but at the end of the queue.
    pub(crate) async fn join(
        self: &Arc<Self>,
        session: &Session,
        operation: Operation,
        request: &AcquireRequest,
        ttl: Ttl,
    ) -> Result<(Joined, Life), BackendError> {
        self.leave_group_for_good(session, operation, request, ttl).await?;
        let value = value::encode(request, ttl, Arrival::Waits);
        let join = |place: &Place, lease| queue::join(place, lease, value.clone());
        let Sent { response, life, .. } = self.send_with_a_lease(session, operation, request, ttl, join).await?;
        let joined = queue::joined(&response).ok_or_else(given_up)?;
        self.owners.with(request.owner(), |known| {
            known.state = State::Waiting(joined.revision);
            known.kept_alive = life.kept_alive;
            known.ahead = match &joined.before {
                Before::One(before) => Ahead::There(before.clone()),
                Before::Nobody | Before::Unknown => Ahead::Unknown,
            };
        });
        Ok((joined, life))
    }

    fn next_keep_alive(&self, request: &AcquireRequest, ttl: Ttl) -> Timestamp {
        let last = self.owners.with(request.owner(), |known| known.kept_alive);
        last.unwrap_or_else(now) + ttl.get() / 3
    }

    async fn keep_place(self: &Arc<Self>, session: &Session, request: &AcquireRequest) -> Result<(), BackendError> {
        let sent = now();
        if self.keep_owner(session, OPERATION, request).await.or_error(OPERATION)?.is_none() {
            return Err(self.place_is_gone(request.owner(), OPERATION));
        }
        self.owners.with(request.owner(), |known| known.kept_alive = sent);
        Ok(())
    }
}

async fn watch(
    session: &Session,
    whose: Whose,
    key: Vec<u8>,
    tell: &mpsc::UnboundedSender<(Whose, News)>,
) -> Result<Watching, BackendError> {
    let (tell, of) = (tell.clone(), if whose == Whose::Own { Of::All } else { Of::Deletions });
    // Who has stopped waiting needs no news.
    let listener = Arc::new(move |news| drop(tell.send((whose, news))));
    let stream = session.watches.stream(session, OPERATION).await.or_error(OPERATION)?;
    session.watches.begin(&stream, key, of, listener).ok_or_else(|| broken("the stream of watches ended"))
}

async fn both_live(session: &Session, both: [&Watching; 2], told: &mut Told) -> Result<(), BackendError> {
    let limit: Duration = session.limit();
    let live = async {
        let mut live = 0;
        while live < 2 {
            match told.recv().await {
                Some((_, News::Live)) => live += 1,
                // The read that follows tells the same.
                Some((_, News::Deleted(_) | News::Touched(_))) => {}
                Some((_, News::Broken(why))) => return Err(broken(&why)),
                None => return Err(broken("the watch is gone")),
            }
        }
        Ok(())
    };
    timeout(limit, live).await.unwrap_or_else(|_| {
        // Where the streams lead to: other calls may have moved on to another endpoint meanwhile.
        let mut silent: Vec<usize> = both.into_iter().filter_map(Watching::endpoint).collect();
        silent.dedup();
        for index in &silent {
            session.distrust(*index);
            session.move_on(*index);
        }
        Err(timed_out(OPERATION, session.name(silent.first().copied().unwrap_or(session.index())), limit))
    })
}

/// A stream that ended is opened anew by the next wait; the place stays.
fn broken(why: &str) -> BackendError {
    BackendError::new(ErrorKind::Unavailable, OPERATION, format!("the watch ended: {why}"))
        .with_outcome(Outcome::NotApplied)
}

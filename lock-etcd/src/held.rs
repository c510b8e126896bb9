//! Watching the keys of locks that are held, so that a loss is noticed at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lock_core::{Claim, Operation};

use crate::backend::Shared;
use crate::news::News;
use crate::owners::{Owner, State, Watch};
use crate::session::Session;
use crate::watch::Of;

/// A lock that is held for less isn't watched: a watch costs two messages each way. A renewal reads the key where no
/// watch is in place.
const HELD_FOR: Duration = Duration::from_millis(100);

/// A watch that ended is asked for again after this.
const PAUSE: Duration = Duration::from_millis(300);

const OPERATION: Operation = Operation::Renew;

impl Shared {
    /// Looks who comes next, and watches the key of a lock if it is held for a while.
    pub(crate) fn watch_later(self: &Arc<Self>, session: &Arc<Session>, claim: Claim, token: i64) {
        let held = Held { shared: Arc::downgrade(self), session: Arc::downgrade(session), claim, token };
        tokio::spawn(async move {
            let look = async {
                if let (Some(shared), Some(session)) = (held.shared.upgrade(), held.session.upgrade()) {
                    shared.look_behind(&session, &held.claim, token).await;
                }
            };
            // Side by side: a member that is silent keeps the look waiting, and must not keep the watch.
            tokio::join!(look, held.clone().watch_after(HELD_FOR));
        });
    }
}

/// One grant that is to be watched.
#[derive(Clone)]
struct Held {
    shared: Weak<Shared>,
    session: Weak<Session>,
    claim: Claim,
    token: i64,
}

impl Held {
    /// Goes on until a watch is asked for, or none is needed any more.
    async fn watch_after(self, mut pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            let (Some(shared), Some(session)) = (self.shared.upgrade(), self.session.upgrade()) else { return };
            let owner = self.claim.owner();
            if shared.owners.with(owner, |known| self.needs_a_watch(known)) != Some(true) {
                return;
            }
            if let Ok(stream) = session.watches.stream(&session, OPERATION).await {
                let place = shared.place_of(self.claim.key(), owner);
                let (told, handle) = (self.clone(), tokio::runtime::Handle::current());
                let listener = Arc::new(move |news| told.clone().take_in(&news, &handle));
                // Begun and noted in one step: news that came between would be of a watch that is none of ours yet, and
                // a watch that broke then would be noted for good.
                let is_asked_for = shared.owners.with(owner, |known| {
                    if self.needs_a_watch(known) {
                        let watching = session.watches.begin(&stream, place.key, Of::Deletions, listener);
                        known.watch = watching.map_or(Watch::None, Watch::Begun);
                    }
                    !self.needs_a_watch(known)
                });
                if is_asked_for != Some(false) {
                    return;
                }
            }
            pause = PAUSE;
        }
    }

    fn needs_a_watch(&self, known: &Owner) -> bool {
        known.state == State::Holding(self.token) && matches!(known.watch, Watch::None)
    }

    fn take_in(self, news: &News, runtime: &tokio::runtime::Handle) {
        match news {
            News::Live => drop(runtime.spawn(self.look())),
            News::Deleted(_) => self.lost(),
            News::Touched(_) => {}
            News::Broken(_) => {
                self.set(Watch::None);
                drop(runtime.spawn(self.watch_after(PAUSE)));
            }
        }
    }

    /// The watch is in place: what was before it is read.
    async fn look(self) {
        let (Some(shared), Some(session)) = (self.shared.upgrade(), self.session.upgrade()) else { return };
        let place = shared.place_of(self.claim.key(), self.claim.owner());
        match session.checks.is(&session, OPERATION, &place.key, self.token).await {
            Ok(true) => {
                shared.owners.with(self.claim.owner(), |known| {
                    known.watch = match std::mem::take(&mut known.watch) {
                        Watch::Begun(watching) => Watch::Live(watching),
                        other => other,
                    };
                });
            }
            Ok(false) => self.lost(),
            Err(_) => {
                self.set(Watch::None);
                self.watch_after(PAUSE).await;
            }
        }
    }

    /// The key is gone. The supervisor asks at once, and is told so.
    fn lost(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let owner = self.claim.owner();
        let hint = shared.owners.with(owner, |known| {
            (known.state == State::Holding(self.token)).then(|| {
                known.watch = Watch::Deleted;
                known.hint.clone()
            })
        });
        if let Some(Some(hint)) = hint {
            tracing::debug!(key = %self.claim.key(), "somebody deleted the key of a lock that is held");
            hint.fire(owner);
        }
    }

    fn set(&self, watch: Watch) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.owners.with(self.claim.owner(), |known| {
            if known.state == State::Holding(self.token) && !matches!(known.watch, Watch::Deleted) {
                known.watch = watch;
            }
        });
    }
}

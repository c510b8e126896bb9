//! Watching the keys of locks that are held, so that a loss is noticed at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lock_core::{Claim, Operation};

use crate::backend::Shared;
use crate::owners::{State, Watch};
use crate::session::Session;
use crate::watch::{News, Of};

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
            if let (Some(shared), Some(session)) = (held.shared.upgrade(), held.session.upgrade()) {
                shared.look_behind(&session, &held.claim, token).await;
            }
            tokio::time::sleep(HELD_FOR).await;
            held.watch().await;
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
    async fn watch(self) {
        let (Some(shared), Some(session)) = (self.shared.upgrade(), self.session.upgrade()) else { return };
        let owner = self.claim.owner();
        let is_held = shared
            .owners
            .with(owner, |known| known.state == State::Holding(self.token) && matches!(known.watch, Watch::None));
        if is_held != Some(true) {
            return;
        }
        let place = shared.place_of(self.claim.key(), owner);
        let handle = tokio::runtime::Handle::current();
        let told = self.clone();
        let listener = Arc::new(move |news| told.clone().take_in(&news, &handle));
        let watching = session.watches.watch(&session, OPERATION, place.key, Of::Deletions, listener).await;
        match watching {
            Ok(watching) => {
                shared.owners.with(owner, |known| {
                    // News may have come before this.
                    if known.state == State::Holding(self.token) && matches!(known.watch, Watch::None) {
                        known.watch = Watch::Begun(watching);
                    }
                });
            }
            Err(_) => self.again().await,
        }
    }

    fn take_in(self, news: &News, runtime: &tokio::runtime::Handle) {
        match news {
            News::Live => drop(runtime.spawn(self.look())),
            News::Deleted(_) => self.lost(),
            News::Touched(_) => {}
            News::Broken(_) => {
                self.set(Watch::None);
                drop(runtime.spawn(self.again()));
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
                self.again().await;
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

    async fn again(self) {
        tokio::time::sleep(PAUSE).await;
        Box::pin(self.watch()).await;
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

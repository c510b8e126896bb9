//! Sessions: what a lock is held by, and what the next acquire may use again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lock_core::{BackendError, Operation, Timestamp};

use crate::backend::{MAX_TTL, Shared};
use crate::wire::NewSession;

/// What a session lives longer than the lease, so that one which was renewed just now is good for a whole lease.
const LEEWAY: Duration = Duration::from_millis(250);
/// A session that nobody uses goes away by itself after twice its TTL; those that would take long are ended.
const LONGEST_IDLE: Duration = Duration::from_secs(300);
/// How many are kept for the next acquires.
const MOST_IDLE: usize = 256;

/// One session at Consul.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// How long it lives after a renewal.
    pub(crate) ttl: Duration,
    /// When the last successful renewal was sent.
    renewed: Option<Timestamp>,
    /// A request that uses it may still be on its way: it is never used for another owner.
    pub(crate) in_doubt: bool,
}

/// Sessions that hold nothing, by their TTL.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<HashMap<Duration, Vec<Session>>>);

impl Session {
    /// A session that somebody of the same owner created, known by its id alone.
    pub(crate) fn found(id: &str, lease: Duration) -> Self {
        Self { id: id.to_owned(), ttl: session_ttl(lease), renewed: None, in_doubt: true }
    }

    /// Whether it lives for a whole lease from now, without a renewal.
    pub(crate) fn lasts(&self, now: Timestamp, lease: Duration) -> bool {
        self.renewed.is_some_and(|renewed| now + lease <= renewed + self.ttl)
    }

    /// When a waiter should renew it.
    pub(crate) fn renewal_due_in(&self, now: Timestamp) -> Duration {
        self.renewed.map_or(Duration::ZERO, |renewed| (renewed + self.ttl / 3).since(now))
    }

    /// A renewal sent at `sent` succeeded.
    pub(crate) fn renewed(&mut self, sent: Timestamp) {
        self.renewed = Some(sent);
    }
}

impl Idle {
    fn take(&self, now: Timestamp, ttl: Duration) -> Option<Session> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The last that came is the one that is most likely alive. One that may be over isn't worth a request.
        let sessions = idle.get_mut(&ttl)?;
        let session = sessions.pop().filter(|session| session.lasts(now, Duration::ZERO));
        if session.is_none() {
            idle.remove(&ttl);
        }
        session
    }

    /// Keeps it, or gives it back to be ended.
    fn keep(&self, session: Session) -> Option<Session> {
        if session.in_doubt || session.ttl > LONGEST_IDLE {
            return Some(session);
        }
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = idle.entry(session.ttl).or_default();
        if sessions.len() >= MOST_IDLE {
            return Some(session);
        }
        sessions.push(session);
        None
    }
}

impl Shared {
    /// An idle session, or a new one, for a lease of `lease`.
    pub(crate) async fn session(&self, operation: Operation, lease: Duration) -> Result<Session, BackendError> {
        let ttl = session_ttl(lease);
        let now = self.now();
        if let Some(session) = self.idle.take(now, ttl) {
            return Ok(session);
        }
        let new = NewSession {
            name: &self.session_name,
            ttl: format!("{}ms", ttl.as_millis()),
            behavior: "release",
            lock_delay: format!("{}ms", self.lock_delay.as_millis()),
            node_checks: [],
        };
        // Should the reply be lost, nobody knows the session: it holds nothing, and ends by itself.
        let id = self.api.create_session(operation, &new).await?;
        Ok(Session { id, ttl, renewed: Some(now), in_doubt: false })
    }

    /// Renews; false when there is no such session any more.
    pub(crate) async fn renew_session(
        &self,
        operation: Operation,
        session: &mut Session,
    ) -> Result<bool, BackendError> {
        let sent = self.now();
        let lives = self.api.renew_session(operation, &session.id).await?;
        if lives {
            session.renewed(sent);
        }
        Ok(lives)
    }

    /// A session that holds nothing any more: for the next acquire, or ended.
    pub(crate) async fn put_back(&self, session: Session) {
        if let Some(session) = self.idle.keep(session)
            && let Err(error) = self.api.destroy_session(Operation::Release, &session.id).await
        {
            tracing::debug!(%error, session = session.id, "left to its TTL; it holds nothing");
        }
    }
}

fn session_ttl(lease: Duration) -> Duration {
    (lease + LEEWAY).min(MAX_TTL)
}

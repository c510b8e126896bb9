//! Sessions: what a lock is held by, and what the next acquire may use again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::{BackendError, Operation, Timestamp};

use crate::api::Api;
use crate::backend::{MAX_TTL, Shared};
use crate::finishing::Finishing;
use crate::wire::NewSession;

/// What a session lives longer than the lease, so that one which was renewed just now is good for a whole lease.
const LEEWAY: Duration = Duration::from_millis(250);
/// A session that nobody uses goes away by itself after twice its TTL; those that would take long are ended.
const LONGEST_IDLE: Duration = Duration::from_secs(300);
/// How many are kept for the next acquires, of whatever TTL.
const MOST_IDLE: usize = 256;
/// The longest lease of a session that a place in the queue is held by: of a waiter that is killed nobody hears, and
/// until its session has ended it keeps a free lock from those behind it.
pub(crate) const LONGEST_IN_QUEUE: Duration = Duration::from_secs(30);

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

/// Sessions that hold nothing, the last that came at the end.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<Vec<Session>>);

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
        let last = idle.iter().rposition(|session| session.ttl == ttl)?;
        Some(idle.remove(last)).filter(|session| session.lasts(now, Duration::ZERO))
    }

    /// Keeps it, or gives it back to be ended.
    fn keep(&self, now: Timestamp, session: Session) -> Option<Session> {
        if session.in_doubt || session.ttl > LONGEST_IDLE {
            return Some(session);
        }
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of a TTL that nobody asks for any more end unseen.
        idle.retain(|session| session.lasts(now, Duration::ZERO));
        if idle.len() >= MOST_IDLE {
            return Some(session);
        }
        idle.push(session);
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
            name: self.session_name.clone(),
            node: None,
            ttl: format!("{}ms", ttl.as_millis()),
            behavior: "release",
            lock_delay: format!("{}ms", self.lock_delay.as_millis()),
            node_checks: [],
        };
        // Should the reply be lost, nobody knows the session: it holds nothing, and ends by itself. If it comes when nobody
        // waits for it any more, the session is ended.
        let (api, late) = (self.api.clone(), self.api.clone());
        let create = async move { api.create_session(operation, &new).await };
        let id = Finishing::new(create).or_else(move |created| end(late, created)).await?;
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
        if let Some(session) = self.idle.keep(self.now(), session)
            && let Err(error) = self.api.destroy_session(Operation::Release, &session.id).await
        {
            tracing::debug!(%error, session = session.id, "left to its TTL; it holds nothing");
        }
    }
}

/// A session that was made for somebody who has gone.
async fn end(api: Arc<Api>, created: Result<String, BackendError>) {
    let Ok(id) = created else { return };
    if let Err(error) = api.destroy_session(Operation::Release, &id).await {
        tracing::debug!(%error, session = id, "left to its TTL; it holds nothing");
    }
}

fn session_ttl(lease: Duration) -> Duration {
    (lease + LEEWAY).min(MAX_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn session(renewed: u64) -> Session {
        let renewed = Some(Timestamp::new(Duration::from_millis(renewed)));
        Session { id: "s".to_owned(), ttl: session_ttl(LEASE), renewed, in_doubt: false }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::new(Duration::from_millis(millis))
    }

    #[test]
    fn a_session_is_good_for_a_lease_only_if_it_outlives_it() {
        assert!(session(1_000).lasts(at(1_250), LEASE));
        assert!(!session(1_000).lasts(at(1_251), LEASE));
        assert!(!Session::found("s", LEASE).lasts(at(0), LEASE), "nobody knows when it was renewed");
        // At the longest TTL there is no leeway: it is renewed each time.
        let longest = Session { ttl: session_ttl(MAX_TTL), ..session(1_000) };
        assert!(!longest.lasts(at(1_001), MAX_TTL));
    }

    fn session_of(ttl: Duration, renewed: u64) -> Session {
        Session { ttl, ..session(renewed) }
    }

    #[test]
    fn idle_sessions_are_used_again_but_none_in_doubt_and_none_that_may_be_over() {
        let idle = Idle::default();
        let keep = |session| idle.keep(at(1_500), session);
        assert!(keep(session(1_000)).is_none());
        assert!(idle.take(at(2_000), session_ttl(LEASE)).is_some());
        assert!(idle.take(at(2_000), session_ttl(LEASE)).is_none());
        assert!(keep(Session { in_doubt: true, ..session(1_000) }).is_some());
        assert!(keep(session_of(MAX_TTL, 1_000)).is_some(), "it would be left for two days");
        assert!(keep(session(1_000)).is_none());
        assert!(idle.take(at(11_251), session_ttl(LEASE)).is_none());
    }

    #[test]
    fn idle_sessions_are_bounded_over_all_ttls_and_go_when_they_may_be_over() {
        let idle = Idle::default();
        let ttl = |number: usize| LEASE + Duration::from_millis(number as u64);
        let kept = (0..2 * MOST_IDLE).filter(|number| idle.keep(at(0), session_of(ttl(*number), 0)).is_none()).count();
        assert_eq!(kept, MOST_IDLE);
        assert!(idle.take(at(0), ttl(7)).is_some());
        // Nobody has asked for the others.
        assert!(idle.keep(at(60_000), session(60_000)).is_none());
        assert_eq!(idle.0.lock().unwrap().len(), 1);
    }
}

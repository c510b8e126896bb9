//! What the five calls and the administration stand on.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Attempt, BackendError, Claim, Clock, Contention, ErrorKind, FencingToken, Grant, Lease, LeaseClock,
    LockKey, Operation, Outcome, OwnerId, Release, Renewal, Retry, SystemClock, Ttl,
};
use redis::Value;

use crate::backend::capabilities;
use crate::connector::{Servers, Settings};
use crate::error::{Failure, shown};
use crate::inbox::Inbox;
use crate::names::{LockNames, Names};
use crate::place::{Outlook, Place};
use crate::record;
use crate::scripts::Scripts;
use crate::topology::Topology;

/// No connection is given up sooner: a server, or this host, is often busy for as long as that.
const SHORTEST_LIMIT: Duration = Duration::from_millis(100);

/// One client: its connections, and what it remembers of its own locks.
pub(crate) struct Shared {
    pub(crate) topology: Topology,
    pub(crate) scripts: Scripts,
    pub(crate) names: Names,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) replication: Option<Replication>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: SystemClock,
}

/// How many replicas must have a lock before it counts as acquired.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replication {
    pub(crate) replicas: u32,
    pub(crate) limit: Duration,
}

impl Shared {
    pub(crate) fn new(
        servers: Servers,
        settings: &Arc<Settings>,
        names: Names,
        replication: Option<Replication>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let inbox = Arc::new(Inbox::new(me.clone()));
            let topology = Topology::new(servers, settings, &names, &inbox, replication);
            let scripts = Scripts::new(topology.publishes_with());
            let clock = SystemClock::new(LeaseClock::Boot);
            Self { topology, scripts, names, inbox, replication, settings: settings.clone(), clock }
        })
    }

    pub(crate) async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = capabilities().grantable(request.ttl()).map_err(|error| error.with_key(request.key()))?;
        let stands = self.inbox.place_of(request.owner());
        if let Some(grant) = stands.as_deref().and_then(|place| self.take_turn(place, request, ttl)) {
            return Ok(Attempt::Granted(grant));
        }
        let fail = failing(Operation::Acquire, request.key());
        let names = self.names.of(request.key());
        // An owner that waits takes its place in the queue with this try, should it be refused.
        let is_new = stands.is_none() && self.may_line_up(request);
        let place = stands.unwrap_or_else(|| self.new_place(request, ttl, None));
        if is_new {
            self.inbox.lines_up(request.owner(), place.clone());
        }
        let (owner, ms, kept) = (request.owner().to_string(), ttl.as_millis().to_string(), place.kept_ms().to_string());
        let channel = if is_new { self.names.channel() } else { "" };
        let arguments = [owner.as_str(), &ms, &place.body, channel, &kept].map(str::as_bytes);
        let sent = self.clock.now();
        let answer = self.topology.run_replicated(&self.scripts.acquire, &names, &arguments).await;
        let (answer, replicas) = answer.map_err(&fail)?;
        match taken(&answer) {
            Some(Ok(token)) => {
                self.inbox.holds(request.owner(), token, request.loss_hint().clone());
                self.check_replicas(request, replicas).await?;
                Ok(Attempt::Granted(Grant::new(token, ttl)))
            }
            Some(Err((value, left, waiting))) => {
                let record = record::describe(request.key(), &names.lock, value, left);
                if is_new {
                    // Nobody asked when the lease ends: within its TTL, unless it is renewed.
                    let left = record.ttl().map(Ttl::get);
                    let before = u32::try_from(waiting).unwrap_or(u32::MAX);
                    place.stands(sent, record.token(), Outlook { left, before });
                }
                Ok(Attempt::Held(Contention::new(record).with_waiters(waiting)))
            }
            None => Err(fail(odd(&answer))),
        }
    }

    /// The grant of a lock that was handed to this owner, if that is certain without asking.
    fn take_turn(&self, place: &Place, request: &AcquireRequest, ttl: Ttl) -> Option<Grant> {
        // Whether enough replicas have it isn't certain.
        if self.replication.is_some() {
            return None;
        }
        let (token, lives) = place.take_turn(self.clock.now())?;
        self.inbox.holds(request.owner(), token, request.loss_hint().clone());
        Some(Grant::new(token, ttl).with_first_lease(lives))
    }

    /// Whether a refused try may take a place in the queue: only where this client hears of its turn by then.
    fn may_line_up(&self, request: &AcquireRequest) -> bool {
        request.will_wait() && self.topology.hears_already() && self.replication.is_none()
    }

    /// A place for an owner that has none, woken on `channel`, or on this client's own.
    pub(crate) fn new_place(&self, request: &AcquireRequest, ttl: Ttl, channel: Option<String>) -> Arc<Place> {
        Arc::new(Place::new(request.owner(), ttl, channel, record::body(request, self.names.channel())))
    }

    /// Gives a lock back that too few replicas have.
    async fn check_replicas(&self, request: &AcquireRequest, replicas: Option<i64>) -> Result<(), BackendError> {
        let (Some(Replication { replicas: wanted, limit }), Some(have)) = (self.replication, replicas) else {
            return Ok(());
        };
        if have >= i64::from(wanted) {
            return Ok(());
        }
        // Boxed: it is as long as the way of the grant, and seldom goes.
        let claim = request.claim();
        let released = Box::pin(self.release(&claim)).await;
        let message = format!("{have} of {wanted} replicas had the lock within {limit:?}, so it was given back");
        Err(BackendError::new(ErrorKind::Unavailable, Operation::Acquire, message)
            .with_key(request.key())
            .with_retry(Retry::Transient)
            .with_outcome(if released.is_ok() { Outcome::NotApplied } else { Outcome::Unknown })
            .with_advice("look at the replicas with `INFO replication`"))
    }

    pub(crate) async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        let ttl = capabilities().grantable(lease.ttl()).map_err(|error| error.with_key(lease.key()))?;
        let fail = failing(Operation::Renew, lease.key());
        let (owner, token, ms) = (lease.owner().to_string(), lease.token().to_string(), ttl.as_millis().to_string());
        let arguments = [owner.as_bytes(), token.as_bytes(), ms.as_bytes()];
        let (step, names, limit) = (&self.scripts.renew, self.names.of(lease.key()), renewal_limit(ttl));
        match self.topology.run_alone(step, &names, &arguments, limit).await.map_err(&fail)? {
            Value::Int(1) => Ok(Renewal::Renewed(ttl)),
            Value::Int(0) => {
                self.inbox.has_left(lease.owner());
                Ok(Renewal::Lost)
            }
            other => Err(fail(odd(&other))),
        }
    }

    pub(crate) async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        let fail = failing(Operation::Release, claim.key());
        let place = self.inbox.leaves(claim.owner());
        let entry = place.map(|place| place.entry(self.names.channel())).unwrap_or_default();
        let answer = self.let_go(claim.owner(), &self.names.of(claim.key()), &entry, None).await.map_err(&fail)?;
        self.inbox.has_left(claim.owner());
        match answer {
            Value::Int(1) => Ok(Release::Released),
            Value::Int(0) => Ok(Release::NotHeld),
            other => Err(fail(odd(&other))),
        }
    }

    /// Passes on what was handed to an owner of this client that isn't there any more: that grant alone.
    pub(crate) async fn decline(&self, owner: OwnerId, token: FencingToken, lock: String) {
        if let Err(failure) = self.let_go(owner, &LockNames::of(lock), "", Some(token)).await {
            // It ends by itself before long.
            tracing::debug!(%failure, "a lock that was handed to a waiter which is gone wasn't passed on");
        }
    }

    async fn let_go(
        &self,
        owner: OwnerId,
        names: &LockNames,
        entry: &str,
        token: Option<FencingToken>,
    ) -> Result<Value, Failure> {
        let (owner, token) = (owner.to_string(), token.map(|token| token.to_string()));
        let mut arguments = vec![owner.as_bytes(), entry.as_bytes()];
        arguments.extend(token.as_ref().map(String::as_bytes));
        self.topology.run(&self.scripts.release, names, &arguments).await
    }
}

/// How long the answer to a renewal is waited for. It is sent after a third of the TTL: should its connection be dead,
/// there must be time to make another one and to ask again.
fn renewal_limit(ttl: Ttl) -> Duration {
    (ttl.get() / 4).max(SHORTEST_LIMIT)
}

/// An answer of the wrong shape.
pub(crate) fn odd(answer: &Value) -> Failure {
    Failure::Odd { to: "the server".into(), answer: shown(answer) }
}

/// What `acquire.lua` answered: the token, or the holder's value, its remaining ms, and how many wait.
type Taken<'a> = Result<FencingToken, (&'a [u8], i64, u64)>;

fn taken(answer: &Value) -> Option<Taken<'_>> {
    match answer {
        Value::BulkString(token) => std::str::from_utf8(token).ok()?.parse().ok().map(Ok),
        Value::Array(parts) => match parts.as_slice() {
            [Value::BulkString(value), Value::Int(left), Value::Int(waiting)] => {
                Some(Err((value, *left, u64::try_from(*waiting).unwrap_or_default())))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Makes a failure the backend's error, with its operation and key.
pub(crate) fn failing(operation: Operation, key: &LockKey) -> impl Fn(Failure) -> BackendError {
    move |failure| failure.during(operation).with_key(key)
}

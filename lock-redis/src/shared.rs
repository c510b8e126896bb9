//! What the five calls and the administration stand on.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Attempt, BackendError, Claim, Contention, ErrorKind, FencingToken, Grant, Lease, LockKey,
    Operation, Outcome, OwnerId, Release, Renewal, Retry,
};
use redis::Value;

use crate::backend::capabilities;
use crate::connector::{Servers, Settings};
use crate::error::Failure;
use crate::inbox::Inbox;
use crate::names::{LockNames, Names};
use crate::record;
use crate::scripts::Scripts;
use crate::topology::Topology;

/// One client: its connections, and what it remembers of its own locks.
pub(crate) struct Shared {
    pub(crate) topology: Topology,
    pub(crate) scripts: Scripts,
    pub(crate) names: Names,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) replication: Option<Replication>,
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
        settings: Arc<Settings>,
        names: Names,
        replication: Option<Replication>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let inbox = Arc::new(Inbox::new(me.clone()));
            let scripts = Scripts::new(Topology::publish(&servers));
            let topology = Topology::new(servers, &settings, &names, &inbox, replication);
            Self { topology, scripts, names, inbox, replication }
        })
    }

    pub(crate) async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = capabilities().grantable(request.ttl()).map_err(|error| error.with_key(request.key()))?;
        let fail = failing(Operation::Acquire, request.key());
        let names = self.names.of(request.key());
        let (owner, body) = (request.owner().to_string(), record::body(request, self.names.channel()));
        let ms = ttl.as_millis().to_string();
        let arguments = [owner.as_bytes(), ms.as_bytes(), body.as_bytes()];
        let answer = self.topology.run_replicated(&self.scripts.acquire, &names, &arguments).await;
        let (answer, replicas) = answer.map_err(&fail)?;
        match taken(&answer) {
            Some(Ok(token)) => {
                self.inbox.holds(request.owner(), request.loss_hint().clone());
                self.check_replicas(request, replicas).await?;
                Ok(Attempt::Granted(Grant::new(token, ttl)))
            }
            Some(Err((value, left, waiting))) => {
                let record = record::describe(request.key(), &names.lock, value, left);
                Ok(Attempt::Held(Contention::new(record).with_waiters(waiting)))
            }
            None => Err(fail(self.odd(&answer))),
        }
    }

    /// Gives a lock back that too few replicas have.
    async fn check_replicas(&self, request: &AcquireRequest, replicas: Option<i64>) -> Result<(), BackendError> {
        let (Some(Replication { replicas: wanted, limit }), Some(have)) = (self.replication, replicas) else {
            return Ok(());
        };
        if have >= i64::from(wanted) {
            return Ok(());
        }
        let released = self.release(&request.claim()).await;
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
        match self.topology.run(&self.scripts.renew, &self.names.of(lease.key()), &arguments).await.map_err(&fail)? {
            Value::Int(1) => Ok(Renewal::Renewed(ttl)),
            Value::Int(0) => {
                self.inbox.leaves(lease.owner());
                Ok(Renewal::Lost)
            }
            other => Err(fail(self.odd(&other))),
        }
    }

    pub(crate) async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        let fail = failing(Operation::Release, claim.key());
        let place = self.inbox.place_of(claim.owner());
        let entry = place.as_ref().map_or("", |place| place.entry.as_str());
        let answer = self.let_go(claim.owner(), &self.names.of(claim.key()), entry, "").await.map_err(&fail)?;
        // Not before: a release whose reply is lost is asked again, and then needs the place.
        self.inbox.leaves(claim.owner());
        match answer {
            Value::Int(1) => Ok(Release::Released),
            Value::Int(0) => Ok(Release::NotHeld),
            other => Err(fail(self.odd(&other))),
        }
    }

    /// Passes on what is kept for an owner of this client that isn't there any more.
    pub(crate) async fn decline(&self, owner: OwnerId, lock: String) {
        if let Err(failure) = self.let_go(owner, &LockNames::of(lock), "", "reserved").await {
            // It ends by itself within the time of a claim.
            tracing::debug!(%failure, "a lock that was kept for a waiter which is gone wasn't passed on");
        }
    }

    async fn let_go(&self, owner: OwnerId, names: &LockNames, entry: &str, what: &str) -> Result<Value, Failure> {
        let owner = owner.to_string();
        self.topology.run(&self.scripts.release, names, &[owner.as_bytes(), entry.as_bytes(), what.as_bytes()]).await
    }

    pub(crate) fn odd(&self, answer: &Value) -> Failure {
        let mut answer = format!("{answer:?}");
        answer.truncate(answer.floor_char_boundary(200));
        Failure::Odd { to: "the server".into(), answer }
    }
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

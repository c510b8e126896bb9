//! From what the agent said to the backend's errors, each with what the reader can do.

use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Operation, Outcome};

use crate::name::Place;

const DENIED: &str = "the ACL token (token= in the URL, or CONSUL_HTTP_TOKEN; else the anonymous one) needs the rules \
     session_prefix \"\" { policy = \"write\" } and, for the prefix of the locks, key_prefix \"PREFIX\" { policy = \"write\" }";

const UNKNOWN_TOKEN: &str = "Consul doesn't know this ACL token: see token= in the URL, or CONSUL_HTTP_TOKEN";

const NOT_CONSUL: &str = "is it Consul that listens there?";

/// The agent answered with a status that isn't the call's success.
pub(crate) fn from_status(operation: Operation, status: u16, body: &[u8]) -> BackendError {
    let said = String::from_utf8_lossy(body);
    let said: String = said.trim().chars().take(300).collect();
    let message = format!("Consul answered {status}: {said}");
    let error = |kind| BackendError::new(kind, operation, message.clone());
    match status {
        _ if said.contains("ACL not found") => error(ErrorKind::PermissionDenied).with_advice(UNKNOWN_TOKEN),
        401 | 403 => error(ErrorKind::PermissionDenied).with_advice(DENIED),
        429 => error(ErrorKind::Unavailable)
            .with_outcome(Outcome::NotApplied)
            .with_advice("the agent limits requests or connections: see limits in its configuration"),
        300..=399 => error(ErrorKind::InvalidConfiguration)
            .with_advice("redirects are not followed: name the agent itself, not a proxy before it"),
        _ if said.contains("Permission denied") => error(ErrorKind::PermissionDenied).with_advice(DENIED),
        _ if said.contains("Invalid Session TTL") => error(ErrorKind::InvalidConfiguration)
            .with_advice("the servers' session_ttl_min is longer than the TTL: ask for a longer one"),
        _ if said.contains("No path to datacenter") => {
            error(ErrorKind::InvalidConfiguration).with_advice("see the datacenters with `consul catalog datacenters`")
        }
        _ if said.contains("Missing node registration") => error(ErrorKind::Unavailable)
            .with_outcome(Outcome::NotApplied)
            .with_advice("the node isn't registered with the servers: has its agent joined, or left, just now?"),
        500..=599 => error(ErrorKind::Unavailable)
            .with_advice("see whether the cluster has a leader with `consul operator raft list-peers`"),
        413 => error(ErrorKind::ResourceExhausted).with_advice(
            "a transaction is longer than the agent takes: see limits.txn_max_req_len in its configuration",
        ),
        _ => error(ErrorKind::Protocol).with_advice(NOT_CONSUL),
    }
}

/// The agent could not be asked, or the connection broke.
pub(crate) fn from_transport(operation: Operation, base: &str, error: reqwest::Error) -> BackendError {
    // A connection that was never made carried no request.
    let outcome = if error.is_connect() { Outcome::NotApplied } else { Outcome::Unknown };
    let error = error.without_url();
    let mut message = format!("{base}: {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    BackendError::new(ErrorKind::Unavailable, operation, message)
        .with_outcome(outcome)
        .with_advice("is the agent running, and are scheme, host and port right?")
        .with_source(error)
}

/// The requests before this one took so long that it wasn't sent.
pub(crate) fn no_turn(operation: Operation, base: &str, patience: Duration) -> BackendError {
    let message =
        format!("not sent to {base}: this process has so many requests that its turn didn't come in {patience:?}");
    BackendError::new(ErrorKind::TimedOut, operation, message)
        .with_outcome(Outcome::NotApplied)
        .with_advice("wait for fewer locks at a time, or see whether the agent is overloaded")
}

/// No answer in time.
pub(crate) fn timed_out(operation: Operation, base: &str, limit: Duration) -> BackendError {
    let message = format!("{base} gave no answer within {limit:?}");
    BackendError::new(ErrorKind::TimedOut, operation, message)
        .with_outcome(Outcome::Unknown)
        .with_advice("the cluster may have no leader just now: `consul operator raft list-peers`")
}

/// The agent's answer makes no sense.
pub(crate) fn nonsense(operation: Operation, what: impl std::fmt::Display) -> BackendError {
    BackendError::new(ErrorKind::Protocol, operation, format!("Consul's answer makes no sense: {what}"))
        .with_outcome(Outcome::Unknown)
        .with_advice(NOT_CONSUL)
}

/// The lock's key is used for something else.
pub(crate) fn conflict(place: &Place, operation: Operation) -> BackendError {
    let message = format!("the key {} is in use, and not by a lock: it has other flags", place.lock);
    BackendError::new(ErrorKind::Conflict, operation, message).with_advice(format!(
        "see it with `consul kv get -detailed {}` (a semaphore, `consul lock -n 2`, is one); choose another key or prefix",
        place.lock
    ))
}

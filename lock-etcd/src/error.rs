//! From the driver's errors to the backend's, each with what the reader can do.

use std::error::Error as StdError;
use std::time::Duration;

use etcd_client::Error;
use lock_core::{BackendError, ErrorKind, Operation, Outcome, Retry};
use tonic::Code;

/// Why a call to the store has no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// There is no such lease: never granted, revoked, or over. An earlier try of the request, at another endpoint, may
    /// have no answer.
    NoLease {
        tried_before: bool,
    },
    /// The lease was granted before.
    LeaseExists,
    Other(BackendError),
}

impl Failed {
    /// The error, where a missing or a double lease is none of the answers that are looked for.
    pub(crate) fn into_error(self, operation: Operation) -> BackendError {
        match self {
            Self::Other(error) => error,
            Self::NoLease { .. } => place_lost(operation),
            Self::LeaseExists => BackendError::new(ErrorKind::Protocol, operation, "the lease exists already"),
        }
    }

    /// The server takes no puts and grants no leases, and still deletes.
    pub(crate) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Other(error) if error.kind() == ErrorKind::ResourceExhausted)
    }
}

/// The owner's key, or the lease that it hangs on, is gone. Asking again begins anew, at the queue's end.
pub(crate) fn place_lost(operation: Operation) -> BackendError {
    let message = "the place in the queue is gone: its lease was revoked or not kept alive in time";
    BackendError::new(ErrorKind::Unavailable, operation, message)
        .with_outcome(Outcome::NotApplied)
        .with_advice("somebody revoked the lease, or this process stood still for longer than the TTL")
}

pub(crate) fn timed_out(operation: Operation, endpoint: &str, limit: Duration) -> BackendError {
    let message = format!("{endpoint} gave no answer within {limit:?}");
    BackendError::new(ErrorKind::TimedOut, operation, message)
}

/// What the driver said, in our words.
pub(crate) fn failed(operation: Operation, endpoint: &str, error: Error) -> Failed {
    let Error::GRpcStatus(status) = &error else {
        return Failed::Other(not_a_status(operation, endpoint, error));
    };
    let (code, said) = (status.code(), status.message());
    if code == Code::NotFound && said.contains("lease not found") {
        return Failed::NoLease { tried_before: false };
    }
    if said.contains("lease already exists") {
        return Failed::LeaseExists;
    }
    let (kind, retry, outcome, advice) = judge(code, said, &chain(&error));
    let message = format!("{endpoint}: {}", words(&error));
    let mut failed = BackendError::new(kind, operation, message).with_retry(retry).with_outcome(outcome);
    if let Some(advice) = advice {
        failed = failed.with_advice(advice);
    }
    Failed::Other(failed.with_source(error))
}

type Judgement = (ErrorKind, Retry, Outcome, Option<&'static str>);

fn judge(code: Code, said: &str, chain: &str) -> Judgement {
    use ErrorKind::{InvalidConfiguration, PermissionDenied, Protocol, ResourceExhausted, Unavailable};
    use Outcome::{NotApplied, Unknown};
    use Retry::{Permanent, Transient};
    // The connection was never made: nothing was sent.
    if chain.contains("certificate") || chain.contains("CertificateRequired") || chain.contains("InvalidContentType") {
        let advice = "the certificates don't fit: look at ca=, cert= and key=, and whether the server speaks TLS";
        return (InvalidConfiguration, Permanent, NotApplied, Some(advice));
    }
    if chain.contains("tcp connect error") || chain.contains("dns error") || chain.contains("Connection refused") {
        return (Unavailable, Transient, NotApplied, Some("is etcd running there, and may this host reach it?"));
    }
    match code {
        Code::PermissionDenied => {
            let advice = "the user's role must allow reading and writing the range of the prefix";
            (PermissionDenied, Permanent, NotApplied, Some(advice))
        }
        Code::Unauthenticated => (PermissionDenied, Permanent, NotApplied, Some("look at the user and the password")),
        Code::InvalidArgument if said.contains("authentication failed") || said.contains("user name is empty") => {
            (PermissionDenied, Permanent, NotApplied, Some("look at the user and the password"))
        }
        Code::ResourceExhausted if said.contains("space exceeded") => {
            let advice = "the server is out of space and takes no writes: compact, defragment, then \
                          `etcdctl alarm disarm`; locks that are held can still be renewed and released";
            (ResourceExhausted, Permanent, NotApplied, Some(advice))
        }
        Code::ResourceExhausted => (ResourceExhausted, Transient, NotApplied, Some("the server has too much to do")),
        Code::Unavailable if said.contains("no leader") => {
            (Unavailable, Transient, Unknown, Some("the cluster has no leader: are most of its members running?"))
        }
        // All of these may have been applied: the answer is what is missing.
        Code::Unavailable
        | Code::Unknown
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal => (Unavailable, Transient, Unknown, None),
        Code::Unimplemented => (InvalidConfiguration, Permanent, NotApplied, Some("is that an etcd of 3.4 or newer?")),
        _ => (Protocol, Permanent, NotApplied, None),
    }
}

fn not_a_status(operation: Operation, endpoint: &str, error: Error) -> BackendError {
    let kind = match &error {
        Error::InvalidUri(_) | Error::InvalidArgs(_) | Error::InvalidMetadataValue(_) => {
            ErrorKind::InvalidConfiguration
        }
        _ => ErrorKind::Unavailable,
    };
    BackendError::new(kind, operation, format!("{endpoint}: {}", words(&error))).with_source(error)
}

/// What the store said, without the driver's wrapping.
fn words(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) if status.source().is_none() => status.message().to_owned(),
        Error::GRpcStatus(status) => {
            let mut root = status.source();
            while let Some(deeper) = root.and_then(StdError::source) {
                root = Some(deeper);
            }
            root.map_or_else(|| status.message().to_owned(), ToString::to_string)
        }
        other => other.to_string(),
    }
}

/// All that an error and its sources say, to be searched.
fn chain(error: &Error) -> String {
    let Error::GRpcStatus(status) = error else { return error.to_string() };
    let mut all = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        all = format!("{all}: {error}");
        source = error.source();
    }
    all
}

/// Whether another endpoint may do what this one can't.
pub(crate) fn another_may_help(error: &Failed) -> bool {
    matches!(error, Failed::Other(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut))
}

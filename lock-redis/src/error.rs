//! From the driver's and the server's errors to the backend's, each with what the reader can do.

mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Operation, Outcome, Retry};
use redis::RedisError;

use verdict::{PASSWORD, Verdict, of_refusal};

/// Why a command has no good answer. Names the server, never the password.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// There is no connection, so nothing was sent.
    NoConnection { to: Arc<str>, error: RedisError },
    /// There is no connection within the limit, so nothing was sent.
    NotConnectedWithin { to: Arc<str>, limit: Duration },
    /// It may have been sent, and the connection broke.
    Broken { to: Arc<str>, error: RedisError },
    /// It may have been sent, and no answer came.
    NoAnswer { to: Arc<str>, limit: Duration },
    /// The server said no.
    Refused { to: Arc<str>, error: RedisError },
    /// No node of the cluster has the slot at present, so nothing was sent.
    NoMaster { to: Arc<str>, slot: u16 },
    /// The answer isn't what the step answers.
    Odd { to: Arc<str>, answer: String },
}

impl Failure {
    /// As the backend's error in `operation`.
    pub(crate) fn during(self, operation: Operation) -> BackendError {
        let message = self.to_string();
        let Verdict { kind, retry, outcome, advice } = self.verdict();
        let error = BackendError::new(kind, operation, message).with_retry(retry).with_outcome(outcome);
        let error = if advice.is_empty() { error } else { error.with_advice(advice) };
        match self {
            Self::NoConnection { error: source, .. }
            | Self::Broken { error: source, .. }
            | Self::Refused { error: source, .. } => error.with_source(source),
            _ => error,
        }
    }

    /// The server's error code, such as `MOVED`.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } | Self::NoConnection { error, .. } => error.code(),
            _ => None,
        }
    }

    /// What the server said after the code.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => error.detail(),
            _ => None,
        }
    }

    /// Whether the server, or the way to it, may be gone.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::NoMaster { .. } | Self::Odd { .. })
            || matches!(self.code(), Some("READONLY" | "MASTERDOWN"))
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::NoConnection { error, .. } => match error.code() {
                // A server that is full, still loads, or has other words for "later".
                Some(code) => {
                    let verdict = of_refusal(code, error.detail().unwrap_or_default());
                    Verdict { outcome: Outcome::NotApplied, ..verdict }
                }
                None => of_connecting(error),
            },
            Self::NotConnectedWithin { .. } => Verdict::new(
                ErrorKind::Unavailable,
                Retry::Transient,
                Outcome::NotApplied,
                "is the server running, and is the address right?",
            ),
            Self::Broken { .. } => Verdict::new(ErrorKind::Unavailable, Retry::Transient, Outcome::Unknown, ""),
            Self::NoAnswer { .. } => Verdict::new(
                ErrorKind::TimedOut,
                Retry::Transient,
                Outcome::Unknown,
                "look at the server with `redis-cli --latency` and `SLOWLOG GET`",
            ),
            Self::Refused { error, .. } => {
                of_refusal(error.code().unwrap_or_default(), error.detail().unwrap_or_default())
            }
            Self::NoMaster { .. } => Verdict::new(
                ErrorKind::Unavailable,
                Retry::Transient,
                Outcome::NotApplied,
                "look with `CLUSTER INFO` and `CLUSTER SLOTS`; a failover may be under way",
            ),
            Self::Odd { .. } => Verdict::new(
                ErrorKind::Protocol,
                Retry::Permanent,
                Outcome::Unknown,
                "is that a Redis or Valkey server, and is nothing in between that changes answers?",
            ),
        }
    }
}

/// What a server answered, as far as a message can bear it.
pub(crate) fn shown(answer: &impl fmt::Debug) -> String {
    format!("{answer:?}").chars().take(200).collect()
}

/// Of an error that came before anything was sent.
fn of_connecting(error: &RedisError) -> Verdict {
    use redis::ErrorKind as Driver;
    let (kind, retry, advice) = match error.kind() {
        Driver::AuthenticationFailed => (ErrorKind::PermissionDenied, Retry::Permanent, PASSWORD),
        Driver::RESP3NotSupported => {
            (ErrorKind::InvalidConfiguration, Retry::Permanent, "Redis 7.0 or newer, or Valkey, is needed")
        }
        // Files of certificates that are being replaced: the next connection reads them again.
        Driver::InvalidClientConfig => (
            ErrorKind::InvalidConfiguration,
            Retry::Transient,
            "check the URL, and the files that `ca=`, `cert=` and `key=` name",
        ),
        Driver::MasterNameNotFoundBySentinel => {
            (ErrorKind::Unavailable, Retry::Transient, "check the master's name with `SENTINEL MASTERS`")
        }
        // rustls' errors come in the clothes of an I/O error.
        _ if is_tls(error) => (
            ErrorKind::Unavailable,
            Retry::Permanent,
            "check the certificates: `ca=` names the authority, `cert=` and `key=` this client's own",
        ),
        _ => (ErrorKind::Unavailable, Retry::Transient, "is the server running, and is the address right?"),
    };
    Verdict::new(kind, retry, Outcome::NotApplied, advice)
}

fn is_tls(error: &RedisError) -> bool {
    type Shared = Arc<dyn std::error::Error + Send + Sync>;
    // The driver shares an I/O error, and that hides what it was made of from `source`.
    let shared = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Shared>());
    let io = shared.and_then(|shared| shared.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection { to, error } => write!(f, "can't connect to {to}: {error}"),
            Self::NotConnectedWithin { to, limit } => write!(f, "can't connect to {to}: no answer within {limit:?}"),
            Self::Broken { to, error } => write!(f, "the connection to {to} broke: {error}"),
            Self::NoAnswer { to, limit } => write!(f, "{to} gave no answer within {limit:?}"),
            Self::Refused { to, error } => {
                let (code, detail) = (error.code().unwrap_or("error"), error.detail().unwrap_or_default());
                write!(f, "{to} said {code} {detail}")
            }
            Self::NoMaster { to, slot } => write!(f, "no node of {to} has the slot {slot} at present"),
            Self::Odd { to, answer } => write!(f, "{to} answered what makes no sense: {answer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_sent_is_not_applied_and_what_may_have_been_is_unknown() {
        let refused = || redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let (to, limit): (Arc<str>, _) = ("h:1".into(), Duration::from_secs(1));
        for (failure, kind, outcome) in [
            (Failure::NoConnection { to: to.clone(), error: refused() }, ErrorKind::Unavailable, Outcome::NotApplied),
            (Failure::NotConnectedWithin { to: to.clone(), limit }, ErrorKind::Unavailable, Outcome::NotApplied),
            (Failure::Broken { to: to.clone(), error: refused() }, ErrorKind::Unavailable, Outcome::Unknown),
            (Failure::NoMaster { to: to.clone(), slot: 7 }, ErrorKind::Unavailable, Outcome::NotApplied),
            (Failure::NoAnswer { to, limit }, ErrorKind::TimedOut, Outcome::Unknown),
        ] {
            let error = failure.during(Operation::Renew);
            assert_eq!((error.kind(), error.outcome(), error.is_transient()), (kind, outcome, true), "{error}");
            assert!(error.message().contains("h:1"), "{error}");
        }
    }
}

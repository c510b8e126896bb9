//! What can go wrong at a store.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::LockKey;

/// A backend's failure: what was being done, to which key, what the store said, whether trying
/// again can help, and what the reader can do.
///
/// "Held by someone else" and "not yours any more" are answers, never errors.
pub struct BackendError(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    outcome: Outcome,
    operation: Operation,
    key: Option<LockKey>,
    message: String,
    advice: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What kind of failure it is; decides the exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store can't be reached, or can't serve now (no leader, loading, overloaded).
    Unavailable,
    /// No answer within the call's time limit. A write may have been applied all the same.
    TimedOut,
    /// The store refused us: file permissions, ACL, password.
    PermissionDenied,
    /// The TTL is outside the backend's range.
    TtlOutOfRange {
        /// The shortest TTL that the backend grants.
        min: Duration,
        /// The longest TTL that the backend grants.
        max: Duration,
    },
    /// The key's place in the store is taken by something that is not a lock of ours.
    Conflict,
    /// The store is out of something: disk, memory, descriptors.
    ResourceExhausted,
    /// The configuration can't work: a bad URL, a directory on a network file system.
    InvalidConfiguration,
    /// The store answered something that makes no sense.
    Protocol,
}

/// Whether the same call can succeed later without anybody changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It can: the supervisor tries again, within its bounds.
    Transient,
    /// It can't: the supervisor reports it at once.
    Permanent,
}

/// Whether the store may have done what was asked although the call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did nothing: the request was refused, or never left.
    NotApplied,
    /// It may have: the reply is missing.
    Unknown,
}

/// The call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the store.
    Connect,
    /// `try_acquire`
    Acquire,
    /// `wait`
    Wait,
    /// `renew`
    Renew,
    /// `release`
    Release,
    /// `inspect`
    Inspect,
    /// `list`
    List,
    /// `break_lock`
    Break,
    /// `preflight`
    Preflight,
}

impl BackendError {
    /// An error of `kind` in `operation`. `message` is what the store said, or what is wrong.
    pub fn new(kind: ErrorKind, operation: Operation, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Unavailable | ErrorKind::TimedOut => Retry::Transient,
            _ => Retry::Permanent,
        };
        let outcome = match retry {
            Retry::Transient => Outcome::Unknown,
            Retry::Permanent => Outcome::NotApplied,
        };
        let message = message.into();
        Self(Box::new(Inner { kind, retry, outcome, operation, key: None, message, advice: None, source: None }))
    }

    /// The TTL asked for is outside `min..=max`.
    pub fn ttl_out_of_range(asked: Duration, min: Duration, max: Duration) -> Self {
        let message = format!("the TTL {asked:?} is outside what this store grants: {min:?} to {max:?}");
        Self::new(ErrorKind::TtlOutOfRange { min, max }, Operation::Acquire, message)
    }

    /// Names the key that the call was about.
    pub fn with_key(mut self, key: &LockKey) -> Self {
        self.0.key = Some(key.clone());
        self
    }

    /// Overrides what the kind says about trying again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Overrides what the kind says about a missing reply: [`Outcome::Unknown`] for what is transient.
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Names another operation, where a helper served several.
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.0.operation = operation;
        self
    }

    /// Says what the reader can do, as a sentence.
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Keeps the driver's own error.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// Whether the same call can succeed later.
    pub fn is_transient(&self) -> bool {
        self.0.retry == Retry::Transient
    }
    /// Whether the store may have done what was asked.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }
    /// The call that failed.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }
    /// The key that the call was about.
    pub fn key(&self) -> Option<&LockKey> {
        self.0.key.as_ref()
    }
    /// What the store said, or what is wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// What the reader can do.
    pub fn advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.operation)?;
        if let Some(key) = &self.0.key {
            write!(f, " \"{key}\"")?;
        }
        write!(f, ": {}", self.0.message)?;
        if let Some(advice) = &self.0.advice {
            write!(f, " ({advice})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendError")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("outcome", &self.0.outcome)
            .field("operation", &self.0.operation)
            .field("key", &self.0.key)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting to the store",
            Self::Acquire => "acquiring",
            Self::Wait => "waiting for",
            Self::Renew => "renewing",
            Self::Release => "releasing",
            Self::Inspect => "inspecting",
            Self::List => "listing locks",
            Self::Break => "breaking",
            Self::Preflight => "checking the store",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_which_key_why_and_what_to_do() {
        let key = LockKey::new("a\nb").unwrap();
        let error = BackendError::new(ErrorKind::Unavailable, Operation::Renew, "connection refused")
            .with_key(&key)
            .with_advice("is the server running?");
        assert_eq!(error.to_string(), r#"renewing "a\nb": connection refused (is the server running?)"#);
        assert!(error.is_transient());
        assert!(!BackendError::ttl_out_of_range(Duration::ZERO, Duration::ZERO, Duration::ZERO).is_transient());
    }
}

//! Exit codes, and how each error maps to one. Scripts depend on them.

use std::fmt;

use distlock::{AcquireError, BackendError, ConnectError, ErrorKind, InvalidKey, InvalidLabel, InvalidTtl, LockKey};

use crate::redact;

/// Done; held, taken away, all good.
pub(crate) const DONE: u8 = 0;
/// Free, not taken away, warnings.
pub(crate) const NO: u8 = 1;
/// Wrong usage, bad key, bad TTL, bad URL.
pub(crate) const USAGE: u8 = 64;
/// The store can't be reached or refused us.
pub(crate) const UNAVAILABLE: u8 = 69;
/// Our own output can't be written: nobody may take silence for an answer.
pub(crate) const OUTPUT: u8 = 74;
/// Someone else holds the lock.
pub(crate) const HELD: u8 = 75;
/// The store denies us.
pub(crate) const DENIED: u8 = 77;
/// The lock was lost while the command ran.
pub(crate) const LOST: u8 = 79;
/// The command can't be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// The command isn't found.
pub(crate) const NOT_FOUND: u8 = 127;

/// The code of a process that this signal ended.
pub(crate) fn signalled(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// What ends the command: a code, and what is said on stderr, which holds no secret.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(USAGE, message)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match &error {
            ConnectError::Backend(error) => of_backend(error),
            // Every other one is about the text that was given.
            _ => USAGE,
        };
        Self::new(code, redact::text(&error.to_string()))
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        let code = match &error {
            AcquireError::InvalidKey(_) | AcquireError::InvalidTtl(_) | AcquireError::InvalidLabel(_) => USAGE,
            AcquireError::Held(_) | AcquireError::WaitTimedOut { .. } => HELD,
            AcquireError::Backend(error) | AcquireError::Ambiguous(error) => of_backend(error),
            // A store that has lost data can't be relied on.
            _ => UNAVAILABLE,
        };
        Self::new(code, redact::about(key_of(&error), &error))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::new(of_backend(&error), redact::about(error.key(), &error))
    }
}

impl From<InvalidKey> for Failure {
    fn from(error: InvalidKey) -> Self {
        Self::usage(error)
    }
}

impl From<InvalidTtl> for Failure {
    fn from(error: InvalidTtl) -> Self {
        Self::usage(error)
    }
}

impl From<InvalidLabel> for Failure {
    fn from(error: InvalidLabel) -> Self {
        Self::usage(error)
    }
}

/// The lock that an error is about, as far as it tells.
fn key_of(error: &AcquireError) -> Option<&LockKey> {
    match error {
        AcquireError::Held(seen) => Some(seen.record().key()),
        AcquireError::WaitTimedOut { key, .. } | AcquireError::FencingRegression { key, .. } => Some(key),
        AcquireError::Backend(error) | AcquireError::Ambiguous(error) => error.key(),
        _ => None,
    }
}

/// The code of a store's error.
pub(crate) fn of_backend(error: &BackendError) -> u8 {
    match error.kind() {
        ErrorKind::PermissionDenied => DENIED,
        ErrorKind::TtlOutOfRange { .. } => USAGE,
        // A store that isn't fit for locks refuses us; `doctor` says the same.
        _ => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use distlock::{FencingToken, Operation};

    use super::*;

    #[test]
    fn each_kind_of_error_has_its_code() {
        let code = |kind| Failure::from(BackendError::new(kind, Operation::Acquire, "")).code;
        assert_eq!(code(ErrorKind::PermissionDenied), 77);
        assert_eq!(code(ErrorKind::TtlOutOfRange { min: Duration::ZERO, max: Duration::MAX }), 64);
        for kind in [
            ErrorKind::Unavailable,
            ErrorKind::TimedOut,
            ErrorKind::Conflict,
            ErrorKind::ResourceExhausted,
            ErrorKind::InvalidConfiguration,
            ErrorKind::Protocol,
        ] {
            assert_eq!(code(kind), 69, "{kind:?}");
        }
        let hidden = AcquireError::Ambiguous(BackendError::new(ErrorKind::TimedOut, Operation::Acquire, ""));
        assert_eq!(Failure::from(hidden).code, 69);
        assert_eq!(Failure::from(ConnectError::Environment { name: "X" }).code, 64);
        let key = LockKey::new("x://a@b").unwrap();
        let failed = BackendError::new(ErrorKind::Unavailable, Operation::Acquire, "y://u:hunter2@h").with_key(&key);
        assert_eq!(Failure::from(failed).message, "acquiring \"x://a@b\": y://***@h");
        let regression =
            AcquireError::FencingRegression { key, granted: FencingToken::new(1), seen: FencingToken::new(2) };
        assert!(Failure::from(regression).message.contains("\"x://a@b\""));
        let denied = BackendError::new(ErrorKind::PermissionDenied, Operation::Connect, "");
        assert_eq!(Failure::from(ConnectError::Backend(denied)).code, 77);
    }
}

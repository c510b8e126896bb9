//! The rules that the cases check.

use std::fmt;

/// A rule that every store keeps. Those with a number are the ones of [`LockBackend`](crate::LockBackend).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// Never two holders at a time; different keys are different locks.
    Exclusion,
    /// Rule 1.
    Idempotence,
    /// Rule 2.
    Release,
    /// Rule 3.
    Waiting,
    /// Rule 4.
    Renewal,
    /// Rule 5.
    Ttl,
    /// Rule 6.
    Keys,
    /// Tokens rise.
    Tokens,
    /// Leases end, but not early.
    Expiry,
    /// The rules of [`LockAdmin`](crate::LockAdmin).
    Admin,
    /// What a store says of itself.
    Capabilities,
}

impl Rule {
    /// Its number in the documentation of [`LockBackend`](crate::LockBackend), for those that have one.
    pub fn number(self) -> Option<u8> {
        match self {
            Self::Idempotence => Some(1),
            Self::Release => Some(2),
            Self::Waiting => Some(3),
            Self::Renewal => Some(4),
            Self::Ttl => Some(5),
            Self::Keys => Some(6),
            _ => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.number() {
            write!(f, "rule {number}: ")?;
        }
        f.write_str(match self {
            Self::Exclusion => "a lock never has two holders at a time, and different keys are different locks",
            Self::Idempotence => "try_acquire is idempotent by owner, and leaves nothing behind if the lock is held",
            Self::Release => "release is idempotent, touches only its own owner, and withdraws all that it left behind",
            Self::Waiting => "wait returns when another try is worth while; it may return early, never forget",
            Self::Renewal => "renew extends a lease that is still its owner's, and says of any other that it is lost",
            Self::Ttl => "the TTL granted is told, is never shorter than asked for, and is checked against the range",
            Self::Keys => "keys are encoded injectively: no key, however strange, reaches another",
            Self::Tokens => "each later grant of a key has a greater token",
            Self::Expiry => "an abandoned lease ends: never before its TTL, and not much later",
            Self::Admin => "administration tells what is held, and takes away that and nothing else",
            Self::Capabilities => "a store says of itself what makes sense",
        })
    }
}

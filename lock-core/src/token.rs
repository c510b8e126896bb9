//! Fencing tokens and owner ids: the two numbers that identify a grant.

use std::fmt;
use std::str::FromStr;

/// A number that grows with every grant of the same key, on every backend.
///
/// Hand it to the protected resource with each write; the resource refuses a number below the
/// highest it has seen ([`FencingGate`](crate::FencingGate) is that check). That is what keeps a
/// paused holder from writing after its lease ended: no lock service alone can
/// (Kleppmann, "How to do distributed locking", 2016).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// A token from its number: for backends, and for resources that read it back.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, to be stored or compared elsewhere.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that isn't a fencing token (a decimal number).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fencing token is a decimal number from 0 to 18446744073709551615")]
pub struct InvalidToken(());

impl FromStr for FencingToken {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        // Not `u64`'s own rule alone, which takes a sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(Self).ok_or(InvalidToken(()))
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> u64 {
        token.0
    }
}

/// One acquisition: 128 random bits, minted before anything is sent to the store.
///
/// Since the owner is known before the first request, a request whose reply was lost can be
/// asked again, and an acquisition that was given up can be undone, without doubt whose it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId([u8; 16]);

impl OwnerId {
    /// A new owner, from the operating system's random source (unaffected by `fork` and by
    /// snapshots of a virtual machine, which would repeat a generator kept in memory).
    ///
    /// # Panics
    /// When the operating system has no random source: nothing that needs unique names can go on.
    pub fn mint() -> Self {
        // Inside a simulation everything comes from its seed.
        #[cfg(feature = "simulation")]
        if let Some(owner) = crate::simulation::seeded_owner() {
            return owner;
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system's random source failed");
        Self(bytes)
    }

    /// An owner from its 16 bytes, as a store kept them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for OwnerId {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({self})")
    }
}

/// A text that isn't an owner id (32 hexadecimal digits).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an owner id has 32 hexadecimal digits")]
pub struct InvalidOwnerId(());

impl FromStr for OwnerId {
    type Err = InvalidOwnerId;
    fn from_str(text: &str) -> Result<Self, InvalidOwnerId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidOwnerId(()));
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| InvalidOwnerId(()))?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_their_text() {
        assert_eq!("17".parse(), Ok(FencingToken::new(17)));
        assert_eq!(u64::MAX.to_string().parse(), Ok(FencingToken::new(u64::MAX)));
        for bad in ["", "+1", "-1", " 1", "0x1", "18446744073709551616"] {
            assert!(bad.parse::<FencingToken>().is_err(), "{bad}");
        }
    }

    #[test]
    fn owner_ids_survive_their_text_and_differ() {
        let owner = OwnerId::mint();
        assert_eq!(owner.to_string().parse(), Ok(owner));
        assert_ne!(owner, OwnerId::mint());
        assert!("+0000000000000000000000000000000".parse::<OwnerId>().is_err());
        assert!("00".parse::<OwnerId>().is_err());
    }
}

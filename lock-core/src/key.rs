//! Lock keys, and how a key becomes a name that every store accepts.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// The name users give a lock: any UTF-8 text of 1 to [`LockKey::MAX_LEN`] bytes.
///
/// Keys are compared byte for byte: `a`, `A` and `a/` are three locks. No character is special,
/// `/` included: holding `a` says nothing about `a/b`.
///
/// Cloning is cheap (a reference count).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey(Arc<str>);

/// A text that can't be a lock key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The text is empty.
    #[error("a lock key must not be empty; name the thing that must happen once at a time")]
    Empty,
    /// The text is longer than [`LockKey::MAX_LEN`] bytes.
    #[error("a lock key may have at most {max} bytes, this one has {len}; hash long names yourself", max = LockKey::MAX_LEN)]
    TooLong {
        /// Length of the refused text, in bytes.
        len: usize,
    },
}

/// What the layout contract leaves as it is: `[A-Za-z0-9._-]`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

impl LockKey {
    /// The longest key, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Checks a text and makes it a key.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is empty or longer than [`LockKey::MAX_LEN`] bytes.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidKey> {
        let text = text.as_ref();
        match text.len() {
            0 => Err(InvalidKey::Empty),
            len if len > Self::MAX_LEN => Err(InvalidKey::TooLong { len }),
            _ => Ok(Self(text.into())),
        }
    }

    /// The key as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key with every byte outside `[A-Za-z0-9._-]` percent-encoded: injective, and free of
    /// separators, wildcards and control characters. `.` and `..` become `%2E` and `%2E.`.
    pub fn encoded(&self) -> String {
        let plain = utf8_percent_encode(&self.0, ENCODED).to_string();
        match plain.as_str() {
            "." | ".." => plain.replacen('.', "%2E", 1),
            _ => plain,
        }
    }

    /// As [`encoded`](Self::encoded), for a store whose names may have at most `max` bytes
    /// (at least 80). A longer name is cut and ends in `~` and the SHA-256 of the whole key. `~`
    /// never stands in an encoded name, so a cut name never meets an uncut one.
    pub fn encoded_within(&self, max: usize) -> String {
        shorten(&self.encoded(), self, max)
    }

    /// The key that [`encoded`](Self::encoded) made this name of; `None` for any other text, and
    /// for a name that [`encoded_within`](Self::encoded_within) cut.
    pub fn decode(name: &str) -> Option<Self> {
        let text = percent_decode_str(name).decode_utf8().ok()?;
        let key = Self::new(text).ok()?;
        (key.encoded() == name).then_some(key)
    }
}

/// Cuts an encoded name of `key` to `max` bytes, injectively (see [`LockKey::encoded_within`]).
/// For backends that encode more than the common rule asks.
pub fn shorten(name: &str, key: &LockKey, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let digest = Sha256::digest(key.as_str().as_bytes());
    // Encoded names are ASCII, so any cut is on a character.
    let mut short = format!("{}~", &name[..max.saturating_sub(2 * digest.len() + 1)]);
    for byte in digest {
        write!(short, "{byte:02x}").expect("writing to a string never fails");
    }
    short
}

impl fmt::Display for LockKey {
    /// The key with control characters escaped, fit for a terminal and a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl TryFrom<&str> for LockKey {
    type Error = InvalidKey;
    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<String> for LockKey {
    type Error = InvalidKey;
    fn try_from(text: String) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl TryFrom<&String> for LockKey {
    type Error = InvalidKey;
    fn try_from(text: &String) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl From<&LockKey> for LockKey {
    fn from(key: &LockKey) -> Self {
        key.clone()
    }
}

impl From<std::convert::Infallible> for InvalidKey {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        LockKey::new(text).unwrap().encoded()
    }

    #[test]
    fn fault_25_empty_key_is_an_error() {
        assert_eq!(LockKey::new(""), Err(InvalidKey::Empty));
    }

    #[test]
    fn fault_26_key_of_a_mebibyte_is_an_error() {
        let long = "x".repeat(1 << 20);
        assert_eq!(LockKey::new(&long), Err(InvalidKey::TooLong { len: 1 << 20 }));
        assert!(LockKey::new("x".repeat(LockKey::MAX_LEN)).is_ok());
    }

    #[test]
    fn fault_28_nothing_escapes_the_namespace() {
        for text in ["../x", "*", "{}", "}x", "%2F", "a//b", "x.", "a\0b", "a\nb", "é", ".", "..", "~"] {
            let name = encoded(text);
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-%".contains(&b)), "{name}");
            assert!(name != "." && name != "..");
            assert_eq!(LockKey::decode(&name).unwrap().as_str(), text);
        }
        assert_eq!(encoded("reports/nightly"), "reports%2Fnightly");
    }

    #[test]
    fn long_names_are_cut_and_stay_distinct() {
        let (a, b) = (format!("{}a", "é".repeat(400)), format!("{}b", "é".repeat(400)));
        let (a, b) = (LockKey::new(a).unwrap(), LockKey::new(b).unwrap());
        assert_eq!(a.encoded_within(200).len(), 200);
        assert_ne!(a.encoded_within(200), b.encoded_within(200));
        assert_eq!(LockKey::decode(&a.encoded_within(200)), None);
    }

    proptest::proptest! {
        #[test]
        fn encoding_is_injective(a in ".{1,40}", b in ".{1,40}") {
            let (ka, kb) = (LockKey::new(&a).unwrap(), LockKey::new(&b).unwrap());
            proptest::prop_assert_eq!(a == b, ka.encoded() == kb.encoded());
            proptest::prop_assert_eq!(LockKey::decode(&ka.encoded()), Some(ka));
        }
    }
}

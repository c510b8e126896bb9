//! How a lock's key becomes the name of its directory.

use std::fmt::Write;

use lock_core::{LockKey, shorten};
use percent_encoding::percent_decode_str;

/// File systems allow 255 bytes; the rest is left for whatever wraps them (eCryptfs allows 143
/// characters less than it says, archives add suffixes).
const MAX_NAME: usize = 200;

/// Whether names that differ in case alone are one file here.
pub(crate) const FOLDS_CASE: bool = cfg!(any(target_vendor = "apple", windows));

/// The name of the lock's directory: [`LockKey::encoded`] with more bytes encoded, so that it
/// stays injective, is no name with a meaning (`.tmp`, `CON`), and loses no trailing dot.
pub(crate) fn directory_name(key: &LockKey, folds_case: bool) -> String {
    let plain = key.encoded();
    let stem = plain.split('.').next().unwrap_or_default();
    let device = is_device(stem);
    let last = plain.len() - 1;
    let mut name = String::with_capacity(plain.len() + 6);
    for (at, c) in plain.char_indices() {
        let end_dot = c == '.' && (at == 0 || at == last);
        // The digits of an escape are upper case by themselves and name no other key in lower case.
        let escape = plain[..at].ends_with('%') || plain[..at.saturating_sub(1)].ends_with('%') && at > 1;
        let upper = folds_case && c.is_ascii_uppercase() && !escape;
        if end_dot || upper || (device && at == 0) {
            let said = write!(name, "%{:02X}", u32::from(c));
            debug_assert!(said.is_ok(), "a String takes any text");
        } else {
            name.push(c);
        }
    }
    shorten(&name, key, MAX_NAME)
}

/// The key whose directory has this name; `None` for a name that was cut, or isn't ours.
pub(crate) fn key_of(name: &str, folds_case: bool) -> Option<LockKey> {
    let text = percent_decode_str(name).decode_utf8().ok()?;
    let key = LockKey::new(text).ok()?;
    (directory_name(&key, folds_case) == name).then_some(key)
}

/// Names that Windows gives to devices, whatever follows the first dot.
fn is_device(stem: &str) -> bool {
    let stem = stem.to_ascii_uppercase();
    match stem.as_bytes() {
        b"CON" | b"PRN" | b"AUX" | b"NUL" => true,
        [b'C', b'O', b'M', n] | [b'L', b'P', b'T', n] => n.is_ascii_digit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str, folds_case: bool) -> String {
        directory_name(&LockKey::new(text).unwrap(), folds_case)
    }

    #[test]
    fn fault_28_strange_keys_get_plain_names() {
        for (key, expected) in [
            ("../x", "%2E.%2Fx"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            (".tmp", "%2Etmp"),
            ("a.", "a%2E"),
            ("a.b", "a.b"),
            ("CON", "%43ON"),
            ("con.txt", "%63on.txt"),
            ("com1", "%63om1"),
            ("lpt10", "lpt10"),
            ("console", "console"),
            ("a/b", "a%2Fb"),
            ("%2F", "%252F"),
        ] {
            assert_eq!(name(key, false), expected);
            assert_eq!(key_of(expected, false).unwrap().as_str(), key);
        }
    }

    #[test]
    fn keys_that_differ_in_case_stay_apart_where_names_do_not() {
        assert_eq!(name("aB/é", true), "a%42%2F%C3%A9");
        assert_eq!(name("aB", false), "aB");
        assert_eq!(key_of("a%42", true).unwrap().as_str(), "aB");
        assert_eq!(key_of("aB", true), None);
    }

    #[test]
    fn fault_63_a_long_key_is_cut_and_stays_distinct() {
        let (a, b) = (format!("{}a", "x".repeat(300)), format!("{}b", "x".repeat(300)));
        assert_eq!(name(&a, true).len(), MAX_NAME);
        assert_ne!(name(&a, true), name(&b, true));
        assert_eq!(key_of(&name(&a, true), true), None);
    }

    proptest::proptest! {
        #[test]
        fn names_are_injective_even_where_case_is_lost(a in "[a-bA-B./%C-Oc-o1é]{1,6}", b in "[a-bA-B./%C-Oc-o1é]{1,6}") {
            let (na, nb) = (name(&a, true).to_lowercase(), name(&b, true).to_lowercase());
            proptest::prop_assert_eq!(a == b, na == nb);
            for folds_case in [true, false] {
                let key = key_of(&name(&a, folds_case), folds_case).unwrap();
                proptest::prop_assert_eq!(key.as_str(), &a);
            }
        }
    }
}

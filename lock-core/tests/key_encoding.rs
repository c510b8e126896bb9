//! How keys are written in stores: injective, bounded, and back again.

use std::collections::HashMap;

use lock_core::{LockKey, shorten};
use proptest::prelude::*;

/// Keys whose parts look like what other keys are encoded to, so that collisions are near.
fn key() -> impl Strategy<Value = LockKey> {
    let part = prop_oneof![
        Just("%2F".to_owned()),
        Just("%".to_owned()),
        Just("%25".to_owned()),
        Just("~".to_owned()),
        Just("..".to_owned()),
        Just("/".to_owned()),
        "[a-cA-C.2F%~é]{1,4}",
        ".{1,3}",
        "[x]{60,200}",
    ];
    proptest::collection::vec(part, 1..8).prop_filter_map("a key", |parts| LockKey::new(parts.concat()).ok())
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_keys_have_two_names(a in key(), b in key(), max in 80_usize..400) {
        let apart = a != b;
        prop_assert_eq!(apart, a.encoded() != b.encoded());
        prop_assert_eq!(apart, a.encoded_within(max) != b.encoded_within(max));
    }

    #[test]
    fn a_name_is_bounded_plain_and_read_back(key in key(), max in 80_usize..400) {
        let (whole, within) = (key.encoded(), key.encoded_within(max));
        prop_assert!(whole.len() <= 3 * key.as_str().len() && within.len() <= max);
        prop_assert!(is_plain(&whole) && !whole.contains('~') && is_plain(&within));
        prop_assert!(!matches!(whole.as_str(), "." | ".."));
        prop_assert_eq!(LockKey::decode(&whole), Some(key.clone()));
        prop_assert_eq!(LockKey::decode(&within), (whole.len() <= max).then_some(key));
    }

    #[test]
    fn only_the_one_name_of_a_key_is_read(name in "[a-c%2Ff0.~]{0,8}") {
        if let Some(key) = LockKey::decode(&name) {
            prop_assert_eq!(key.encoded(), name);
        }
    }

    #[test]
    fn any_text_is_a_key_or_too_long_or_empty(text in ".{0,600}") {
        let is_key = !text.is_empty() && text.len() <= LockKey::MAX_LEN;
        prop_assert_eq!(LockKey::new(&text).is_ok(), is_key);
    }
}

/// Of many short keys, all at once: no two have one name.
#[test]
fn all_keys_of_three_strange_characters_stay_apart() {
    let alphabet = ["a", "A", "%", "2", "F", ".", "/", "~", "\0", "é", ":", "*", " "];
    let mut names: HashMap<String, String> = HashMap::new();
    for a in alphabet {
        for b in alphabet.into_iter().chain([""]) {
            for c in alphabet.into_iter().chain([""]) {
                let text = format!("{a}{b}{c}");
                let key = LockKey::new(&text).expect("a key");
                let name = shorten(&key.encoded(), &key, 200);
                assert!(is_plain(&name), "{name}");
                if let Some(other) = names.insert(name, text.clone()) {
                    assert_eq!(other, text, "two keys have one name");
                }
            }
        }
    }
}

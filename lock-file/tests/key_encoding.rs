//! How keys become names of directories: injective, bounded, harmless, and back again.

use lock_core::LockKey;
use lock_file::fuzzing::{directory_name, generation, key_of};
use proptest::prelude::*;

fn key() -> impl Strategy<Value = LockKey> {
    let part = prop_oneof![
        "[a-cA-C.%/~é2F]{1,5}",
        "(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])[.]?",
        Just("..".to_owned()),
        Just("../".to_owned()),
        ".{1,3}",
        "[xX]{100,300}",
    ];
    proptest::collection::vec(part, 1..5).prop_filter_map("a key", |parts| LockKey::new(parts.concat()).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_keys_have_two_directories(a in key(), b in key()) {
        let apart = a != b;
        prop_assert_eq!(apart, directory_name(&a, false) != directory_name(&b, false));
        // Where case is lost, they differ in more than case.
        let folded = [&a, &b].map(|key| directory_name(key, true).to_lowercase());
        prop_assert_eq!(apart, folded[0] != folded[1]);
    }

    #[test]
    fn a_directory_is_one_harmless_name_within_the_bound(key in key(), folds_case: bool) {
        let name = directory_name(&key, folds_case);
        prop_assert!(!name.is_empty() && name.len() <= 200);
        prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte)), "{}", name);
        prop_assert!(!name.starts_with('.') && !name.ends_with('.'), "{}", name);
        prop_assert_eq!(std::path::Path::new(&name).components().count(), 1);
        prop_assert_eq!(generation(&name).is_some(), name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit()));
        prop_assert_eq!(key_of(&name, folds_case), (!name.contains('~')).then_some(key));
    }

    #[test]
    fn only_the_one_name_of_a_key_is_read(name in "[a-cA%2Ff0.~]{0,8}", folds_case: bool) {
        if let Some(key) = key_of(&name, folds_case) {
            prop_assert_eq!(directory_name(&key, folds_case), name);
        }
    }
}

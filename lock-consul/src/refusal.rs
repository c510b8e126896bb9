//! Why Consul took no step of a transaction.

/// Why a transaction was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A key isn't as it was expected to be.
    Changed,
    /// Somebody else's session has the key.
    Held,
    /// The key is free, and kept shut for a while since its holder's session ended without a release.
    LockDelay,
    /// There is no such session (any more).
    NoSession,
}

/// By its words: the API has no codes for them.
pub(crate) fn refusal(what: &str) -> Option<Refusal> {
    // A key or a session may be named like any of them: `"lock-delay/.lock"`.
    let named = what.find('"').zip(what.rfind('"'));
    let (before, after) = named.map_or((what, ""), |(first, last)| (&what[..first], &what[last..]));
    let says = |words: &str| before.contains(words) || after.contains(words);
    if says("lock delay") || says("lock-delay") {
        Some(Refusal::LockDelay)
    } else if says("invalid session") || says("session lookup") {
        Some(Refusal::NoSession)
    } else if says("already held") || says("isn't held") {
        Some(Refusal::Held)
    } else if says("index check")
        || says("check index")
        || says("session check")
        || says("exist")
        || says("index is stale")
    {
        Some(Refusal::Changed)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_the_words_that_consul_used() {
        for (what, expected) in [
            (r#"failed to lock key "a/.lock", lock is already held"#, Some(Refusal::Held)),
            (r#"failed to unlock key "a/.lock", lock isn't held, or is held by another session"#, Some(Refusal::Held)),
            (r#"failed to lock key "a/.lock" due to lock delay"#, Some(Refusal::LockDelay)),
            (r#"invalid session "872fa167-2f3a-5a17-77e8-2ac9ebeb5bca""#, Some(Refusal::NoSession)),
            (r#"key "a/.lock" exists"#, Some(Refusal::Changed)),
            (r#"failed to check index, key "a/.lock" doesn't exist"#, Some(Refusal::Changed)),
            (r#"failed index check for key "a/.lock", current modify index 31 != 1"#, Some(Refusal::Changed)),
            (r#"failed to delete key "a/.queue/3f", index is stale"#, Some(Refusal::Changed)),
            ("Permission denied", None),
            (r#"failed to lock key "lock-delay/.lock", lock is already held"#, Some(Refusal::Held)),
            (r#"failed to lock key "it exists/invalid session/.lock", lock is already held"#, Some(Refusal::Held)),
        ] {
            assert_eq!(refusal(what), expected, "{what}");
        }
    }
}

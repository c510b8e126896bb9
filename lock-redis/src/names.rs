//! The names of a lock's keys and channels on the server.

use lock_core::LockKey;

/// How keys are named: a prefix, and what the client is called on channels.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
    client: String,
    channel: String,
}

/// The keys of one lock. All are in one cluster slot.
#[derive(Debug, Clone)]
pub(crate) struct LockNames {
    /// The lock itself.
    pub(crate) lock: String,
    /// Its last token.
    pub(crate) last: String,
    /// Its waiters.
    pub(crate) queue: String,
}

impl Names {
    /// `client` is unique to this client.
    pub(crate) fn new(prefix: &str, client: &str) -> Self {
        let channel = format!("{prefix}@{client}");
        Self { prefix: prefix.to_owned(), client: client.to_owned(), channel }
    }

    pub(crate) fn of(&self, key: &LockKey) -> LockNames {
        let mut lock = key.encoded();
        lock.insert_str(0, &self.prefix);
        LockNames::of(lock)
    }

    /// The key of a lock's name; `None` for the name of something else.
    pub(crate) fn key_of(&self, name: &str) -> Option<LockKey> {
        LockKey::decode(name.strip_prefix(&self.prefix)?)
    }

    /// A pattern for SCAN that all locks match, and little else.
    pub(crate) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.prefix.len() + 1);
        for c in self.prefix.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        pattern
    }

    /// This client's own channel. "@" never stands in a lock's name.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// A channel of this client in the lock's slot: for a cluster.
    pub(crate) fn shard_channel(&self, names: &LockNames) -> String {
        companion(&names.lock, &format!("@{}", self.client))
    }
}

impl LockNames {
    /// Those of the lock whose name on the server is known.
    pub(crate) fn of(lock: String) -> Self {
        let (last, queue) = (companion(&lock, ":last"), companion(&lock, ":queue"));
        Self { lock, last, queue }
    }
}

/// A name in the slot of `lock`. ":" and "@" never stand in the name of a lock, so it never is another lock's.
fn companion(lock: &str, suffix: &str) -> String {
    if has_tag(lock) { [lock, suffix].concat() } else { ["{", lock, "}", suffix].concat() }
}

/// Whether a part of the name, between braces, alone decides its slot.
fn has_tag(name: &str) -> bool {
    name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty())
}

/// Whether names with this prefix work: companions must be in the slot of their lock, and channels be one word.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.len() > 256 {
        return Err("it may have at most 256 bytes");
    }
    if prefix.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\')) {
        return Err("it must have no blanks, control characters, quotes or backslashes");
    }
    if prefix.contains(['{', '}']) && !has_tag(prefix) {
        return Err("braces in it must be a whole hash tag, such as {app}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str) -> &str {
        match name.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            Some((tag, _)) if !tag.is_empty() => tag,
            _ => name,
        }
    }

    #[test]
    fn faults_27_28_and_29_names_are_injective_and_their_companions_are_in_their_slot() {
        for prefix in ["", "distlock:", "{app}:", "a{b}c"] {
            let names = Names::new(prefix, "c");
            let mut seen = std::collections::HashSet::new();
            for text in
                ["a", "a:queue", "a:last", "{a}", "{a}:queue", "}x", "{}", "*", "a/b", "a//b", "é", ".", "\0", "@c"]
            {
                let key = LockKey::new(text).unwrap();
                let lock = names.of(&key);
                for name in [&lock.last, &lock.queue, &names.shard_channel(&lock)] {
                    assert_eq!(slot(name), slot(&lock.lock), "{name}");
                    assert_eq!(names.key_of(name), None, "{name}");
                }
                assert_eq!(names.key_of(&lock.lock), Some(key));
                assert!(seen.insert(lock.lock) && seen.insert(lock.last) && seen.insert(lock.queue), "{text}");
            }
        }
    }

    #[test]
    fn prefixes_that_would_split_a_lock_are_refused() {
        for bad in ["a b", "a\n", "{", "}", "{}", "a}b{", "\"", "\\"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
        for good in ["", "distlock:", "{app}:", "a*?[b]"] {
            assert_eq!(check_prefix(good), Ok(()), "{good}");
        }
        assert_eq!(Names::new("a*[b]:", "c").pattern(), r"a\*\[b\]:*");
    }
}

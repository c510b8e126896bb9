//! Where a lock's keys are.

use lock_core::{LockKey, OwnerId};

/// Consul itself has no limit that matters; what shows keys to people has.
const MAX_NAME: usize = 400;
/// The key that is the lock: the same that `consul lock NAME` takes.
pub(crate) const LOCK: &str = ".lock";

const QUEUE: &str = ".queue";

/// The keys of one lock: `<prefix><name>/.lock`, and `<prefix><name>/.queue/<owner>` for each who waits.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// All keys of the lock begin with it. Ends with a slash.
    pub(crate) directory: String,
    pub(crate) lock: String,
    /// Ends with a slash. Apart from the lock, so that a release reads nothing where nobody waits.
    pub(crate) queue: String,
}

impl Place {
    pub(crate) fn of(prefix: &str, key: &LockKey) -> Self {
        let directory = format!("{prefix}{}/", key.encoded_within(MAX_NAME));
        Self { lock: format!("{directory}{LOCK}"), queue: format!("{directory}{QUEUE}/"), directory }
    }

    /// Where `owner` stands in the queue.
    pub(crate) fn contender(&self, owner: OwnerId) -> String {
        format!("{}{owner}", self.queue)
    }
}

/// The name of the lock whose key this is; `None` for any other key.
pub(crate) fn lock_name<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let name = key.strip_prefix(prefix)?.strip_suffix(LOCK)?.strip_suffix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_28_no_key_leaves_its_place() {
        for key in ["../x", "*", "a//b", "%2F", ".lock", "a/.lock", "x\0", &"é".repeat(500)] {
            let key = LockKey::new(key).unwrap();
            let place = Place::of("p/", &key);
            let name = lock_name("p/", &place.lock).unwrap();
            assert_eq!(name, key.encoded_within(MAX_NAME));
            assert!(name.len() <= MAX_NAME);
        }
    }

    #[test]
    fn only_locks_are_taken_for_locks() {
        assert_eq!(lock_name("p/", "p/a/.lock"), Some("a"));
        for other in ["p/a/b/.lock", "p/.lock", "a/.lock", "p/a/.locked", "p/a/x.lock", "p/a"] {
            assert_eq!(lock_name("p/", other), None, "{other}");
        }
    }
}

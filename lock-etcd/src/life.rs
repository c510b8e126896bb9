//! How long a lease lives, as far as this process knows.

use lock_core::{FencingToken, Grant, Timestamp, Ttl};

use crate::backend::now;

/// The life of a lease, unless it is kept alive again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) ttl: Ttl,
    /// Before the request was sent that kept it alive last.
    pub(crate) kept_alive: Timestamp,
}

impl Life {
    /// Whether a lock can hang on it as it is: it is renewed soon then, and one that is let go before that costs no keep-alive.
    ///
    /// Not for long: a leader that was stopped and goes on may revoke what it thinks over, though its successor knows
    /// better (etcd 15247, mended in 3.4.31 and 3.5.13). The older a lease, the shorter the stop that does it.
    pub(crate) fn is_young(&self) -> bool {
        now().since(self.kept_alive) < self.ttl.get() / 16
    }

    /// A grant with this revision as token, to a try that began at `asked`. It lives for the whole TTL if the lease was kept
    /// alive since then.
    pub(crate) fn grant(self, revision: i64, asked: Timestamp) -> Grant {
        let token = FencingToken::new(u64::try_from(revision).unwrap_or_default());
        Grant::new(token, self.ttl).with_first_lease((self.kept_alive + self.ttl.get()).since(asked))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::new(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_from_before_the_try_lives_for_what_is_left_of_it() {
        let ttl = Ttl::new(TTL).unwrap();
        let lives = |kept_alive, asked| Life { ttl, kept_alive }.grant(7, asked).lives();
        assert_eq!(lives(at(5), at(5)), TTL);
        assert_eq!(lives(at(6), at(5)), TTL);
        assert_eq!(lives(at(5), at(8)), Duration::from_secs(7));
        assert_eq!(lives(at(5), at(60)), Duration::ZERO);
        let grant = Life { ttl, kept_alive: at(5) }.grant(7, at(8));
        assert_eq!((grant.token().get(), grant.ttl()), (7, ttl));
    }

    #[test]
    fn a_lease_is_young_for_a_sixteenth_of_its_ttl() {
        let ttl = Ttl::new(TTL).unwrap();
        let is_young = |age| {
            let kept_alive = Timestamp::new(now().since(Timestamp::ZERO).saturating_sub(age));
            Life { ttl, kept_alive }.is_young()
        };
        assert!(is_young(Duration::ZERO) && is_young(TTL / 32));
        assert!(!is_young(TTL / 15) && !is_young(TTL));
    }
}

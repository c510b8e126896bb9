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

    /// A grant with this revision as token, to a try that began at `asked`.
    pub(crate) fn grant(self, revision: i64, asked: Timestamp) -> Grant {
        let grant = Grant::new(FencingToken::new(u64::try_from(revision).unwrap_or_default()), self.ttl);
        if self.kept_alive >= asked {
            return grant;
        }
        grant.with_first_lease((self.kept_alive + self.ttl.get()).since(now()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn a_lease_from_before_the_try_lives_for_what_is_left_of_it() {
        let (ttl, asked) = (Ttl::new(TTL).unwrap(), now());
        let whole = Life { ttl, kept_alive: asked }.grant(7, asked);
        assert_eq!((whole.token().get(), whole.ttl(), whole.lives()), (7, ttl, TTL));
        // The clock of these tests begins with the process, so the try is what begins later.
        let rest = Life { ttl, kept_alive: asked }.grant(7, asked + Duration::from_nanos(1));
        assert_eq!(rest.ttl(), ttl);
        assert!(rest.lives() < TTL && rest.lives() > TTL / 2, "{:?}", rest.lives());
    }

    #[test]
    fn a_lease_is_young_for_a_part_of_its_ttl() {
        let ttl = Ttl::new(TTL).unwrap();
        assert!(Life { ttl, kept_alive: now() }.is_young());
        assert!(!Life { ttl, kept_alive: Timestamp::ZERO }.is_young(), "the host has been up for longer");
    }
}

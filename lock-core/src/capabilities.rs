//! What a store can do, told in words rather than in booleans.

use std::time::Duration;

use crate::{BackendError, Ttl};

/// What a store can do; declared by its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    name: &'static str,
    min_ttl: Duration,
    max_ttl: Duration,
    granularity: Duration,
    tokens: TokenDurability,
    wake_up: WakeUp,
    wake_up_within: Duration,
    fairness: Fairness,
    scope: Scope,
    lease_clock: LeaseClock,
}

/// What tokens survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenDurability {
    /// They grow as long as the store's process lives.
    Process,
    /// They grow across restarts that keep the store's data.
    Restart,
    /// They grow even if the store loses all its data, unless its clock goes back as well.
    DataLoss,
}

/// How a waiter learns that a lock is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WakeUp {
    /// It asks again now and then.
    Poll,
    /// The store tells it.
    Notified,
}

/// In which order waiters at the store are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fairness {
    /// In no order.
    None,
    /// First come, first served, among those that live and are quick; none is starved.
    Queue,
}

/// Among whom a lock excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// The tasks of one process.
    Process,
    /// The processes of one host.
    Host,
    /// All hosts that reach the store.
    Network,
}

/// Which clock of this host tells how long a lease lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseClock {
    /// The one that goes on while the host is suspended: the store is elsewhere and goes on, too.
    Boot,
    /// The one that stands still while the host is suspended: all contenders are suspended with it.
    Monotonic,
}

impl Capabilities {
    /// A plain store on this network: any TTL in whole milliseconds, tokens that survive a
    /// restart, waiters that ask again every second, in no order, leases that outlive a suspend.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            min_ttl: Ttl::MIN,
            max_ttl: Ttl::MAX,
            granularity: Duration::from_millis(1),
            tokens: TokenDurability::Restart,
            wake_up: WakeUp::Poll,
            wake_up_within: Duration::from_secs(1),
            fairness: Fairness::None,
            scope: Scope::Network,
            lease_clock: LeaseClock::Boot,
        }
    }

    /// The TTLs that the store grants, and the unit to which it rounds them up.
    pub fn with_ttl_range(mut self, min: Duration, max: Duration, granularity: Duration) -> Self {
        (self.min_ttl, self.max_ttl, self.granularity) = (min, max, granularity);
        self
    }
    /// What tokens survive.
    pub fn with_tokens(mut self, tokens: TokenDurability) -> Self {
        self.tokens = tokens;
        self
    }
    /// How a waiter learns that a lock is free, and after how long at the latest.
    pub fn with_wake_up(mut self, wake_up: WakeUp, within: Duration) -> Self {
        (self.wake_up, self.wake_up_within) = (wake_up, within);
        self
    }
    /// In which order waiters are served.
    pub fn with_fairness(mut self, fairness: Fairness) -> Self {
        self.fairness = fairness;
        self
    }
    /// Among whom a lock excludes.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
    /// Which clock tells how long a lease lives.
    pub fn with_lease_clock(mut self, clock: LeaseClock) -> Self {
        self.lease_clock = clock;
        self
    }

    /// The store's name, as in metrics and messages: `file`, `redis`.
    pub fn name(&self) -> &'static str {
        self.name
    }
    /// The shortest TTL granted.
    pub fn min_ttl(&self) -> Duration {
        self.min_ttl
    }
    /// The longest TTL granted.
    pub fn max_ttl(&self) -> Duration {
        self.max_ttl
    }
    /// The unit to which TTLs are rounded up.
    pub fn granularity(&self) -> Duration {
        self.granularity
    }
    /// What tokens survive.
    pub fn tokens(&self) -> TokenDurability {
        self.tokens
    }
    /// How a waiter learns that a lock is free.
    pub fn wake_up(&self) -> WakeUp {
        self.wake_up
    }
    /// The longest that a waiter whose notification was lost waits after the lock is free.
    pub fn wake_up_within(&self) -> Duration {
        self.wake_up_within
    }
    /// In which order waiters are served.
    pub fn fairness(&self) -> Fairness {
        self.fairness
    }
    /// Among whom a lock excludes.
    pub fn scope(&self) -> Scope {
        self.scope
    }
    /// Which clock tells how long a lease lives.
    pub fn lease_clock(&self) -> LeaseClock {
        self.lease_clock
    }

    /// The TTL that the store would grant for `asked`.
    ///
    /// # Errors
    /// An error of kind [`ErrorKind::TtlOutOfRange`](crate::ErrorKind::TtlOutOfRange).
    pub fn grantable(&self, asked: Ttl) -> Result<Ttl, BackendError> {
        if asked.get() < self.min_ttl || asked.get() > self.max_ttl {
            return Err(BackendError::ttl_out_of_range(asked.get(), self.min_ttl, self.max_ttl));
        }
        Ok(asked.round_up_to(self.granularity))
    }
}

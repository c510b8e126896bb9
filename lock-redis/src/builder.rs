//! Settings, from which a backend is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Operation, OwnerId, Retry};

use crate::backend::RedisBackend;
use crate::connector::{Address, Servers, Settings};
use crate::names::{Names, check_prefix};
use crate::shared::{Replication, Shared};
use crate::tls::Tls;

/// Replicas are waited for shorter than this: the supervisor ends a call after 2 s, and connecting takes some of them.
const LONGEST_REPLICATION: Duration = Duration::from_secs(1);

/// Settings of a [`RedisBackend`]: which servers, and how to be let in.
#[derive(Clone)]
#[must_use = "settings do nothing until `connect` is called"]
pub struct RedisBuilder {
    servers: Servers,
    prefix: String,
    user: Option<String>,
    password: Option<String>,
    database: i64,
    tls: Option<Tls>,
    replication: Option<Replication>,
    call_limit: Duration,
}

impl RedisBuilder {
    pub(crate) fn new(servers: Servers) -> Self {
        Self {
            servers,
            prefix: RedisBackend::DEFAULT_PREFIX.to_owned(),
            user: None,
            password: None,
            database: 0,
            tls: None,
            replication: None,
            call_limit: Duration::from_secs(1),
        }
    }

    /// What stands before the name of each key. Default: [`RedisBackend::DEFAULT_PREFIX`].
    ///
    /// Empty, a lock's key is its name alone. A hash tag (`{app}:`) puts all locks into one slot of a cluster.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The ACL user, who needs a password. Default: the server's `default` user.
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The password. It is never shown.
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The database's number. Default: 0, the only one that a cluster has.
    pub fn with_database(mut self, number: u32) -> Self {
        self.database = i64::from(number);
        self
    }

    /// Speaks TLS.
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// A lock counts as acquired only once so many replicas have it; if they don't within `limit`, it is given back.
    ///
    /// `limit` must be below a second. This makes it less likely that a failover forgets a lock; it doesn't rule it
    /// out. Acquires then share a
    /// connection of their own, on which each waits for the replicas (`WAIT`).
    pub fn with_min_replicas(mut self, replicas: u32, limit: Duration) -> Self {
        self.replication = (replicas > 0).then_some(Replication { replicas, limit });
        self
    }

    /// How long one call to a server may take, connecting apart. Default: 1 s. Should be below the supervisor's own
    /// limit (2 s), so that a connection that hangs is replaced.
    pub fn with_call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`BackendError`] of kind `Unavailable` when no server can be reached, `PermissionDenied` when it refuses the
    /// password, `InvalidConfiguration` for settings that can't work.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub async fn connect(self) -> Result<RedisBackend, BackendError> {
        let invalid = |message: String| BackendError::new(ErrorKind::InvalidConfiguration, Operation::Connect, message);
        check_prefix(&self.prefix)
            .map_err(|why| invalid(format!("the prefix {:?} can't be used: {why}", self.prefix)))?;
        if self.servers.addresses().is_empty() {
            return Err(invalid("no server is named".to_owned()));
        }
        if matches!(self.servers, Servers::Cluster(_)) && self.database != 0 {
            return Err(invalid(format!("a cluster has no database {}, only 0", self.database)));
        }
        if self.call_limit.is_zero() {
            return Err(invalid("a call limit of zero lets no call succeed".to_owned()));
        }
        if self.user.is_some() && self.password.is_none() {
            // The name isn't repeated: many a password was put in its place.
            return Err(invalid("a user is named, and no password".to_owned())
                .with_advice("write USER:PASSWORD@HOST, or :PASSWORD@HOST for the default user"));
        }
        if let Some(Replication { limit, .. }) = self.replication
            && !(Duration::from_millis(1)..LONGEST_REPLICATION).contains(&limit)
        {
            return Err(invalid(format!("the replicas can't be waited for as long as {limit:?}"))
                .with_advice("choose a replica timeout of 1 ms or more, and below 1 s: an acquire ends after 2 s"));
        }
        let settings = Settings {
            user: self.user,
            password: self.password,
            database: self.database,
            tls: self.tls,
            limit: self.call_limit,
        };
        let names = Names::new(&self.prefix, &OwnerId::mint().to_string());
        let shared = Shared::new(self.servers, &Arc::new(settings), names, self.replication);
        shared.topology.open().await.map_err(|failure| {
            let error = failure.during(Operation::Connect);
            // Later it may be that a file is being replaced; at the beginning it is wrong.
            if error.kind() == ErrorKind::InvalidConfiguration { error.with_retry(Retry::Permanent) } else { error }
        })?;
        Ok(RedisBackend { shared })
    }
}

impl RedisBackend {
    /// What stands before the name of each key, unless another prefix is chosen.
    pub const DEFAULT_PREFIX: &str = "distlock:";

    /// Settings for one server.
    pub fn server(host: impl Into<String>, port: u16) -> RedisBuilder {
        RedisBuilder::new(Servers::One(Address::new(host, port)))
    }

    /// Settings for a master that Sentinel servers name, and that they replace when it fails.
    pub fn sentinel(
        sentinels: impl IntoIterator<Item = (String, u16)>,
        master_name: impl Into<String>,
    ) -> RedisBuilder {
        RedisBuilder::new(Servers::Sentinel(addresses(sentinels), master_name.into()))
    }

    /// Settings for a Redis Cluster, of which some nodes are known.
    pub fn cluster(nodes: impl IntoIterator<Item = (String, u16)>) -> RedisBuilder {
        RedisBuilder::new(Servers::Cluster(addresses(nodes)))
    }
}

fn addresses(list: impl IntoIterator<Item = (String, u16)>) -> Vec<Address> {
    list.into_iter().map(|(host, port)| Address::new(host, port)).collect()
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("servers", &self.servers)
            .field("prefix", &self.prefix)
            .field("database", &self.database)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

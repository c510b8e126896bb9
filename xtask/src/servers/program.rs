//! Which programs the servers are, what names them, and which packages have them.

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Redis,
    Etcd,
    Consul,
    /// Another server of Redis' protocol; tests use it only when asked for newer servers.
    Valkey,
}

/// A program that tests start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    RedisServer,
    RedisCli,
    Etcd,
    Etcdctl,
    Consul,
    ValkeyServer,
}

impl Server {
    /// Those that the tests need.
    pub(crate) const ALL: [Self; 3] = [Self::Redis, Self::Etcd, Self::Consul];

    /// Those of which a newer suite has a newer one.
    pub(crate) const NEWER: [Self; 3] = [Self::Redis, Self::Valkey, Self::Etcd];

    pub(crate) fn programs(self) -> &'static [Program] {
        match self {
            Self::Redis => &[Program::RedisServer, Program::RedisCli],
            Self::Etcd => &[Program::Etcd, Program::Etcdctl],
            Self::Consul => &[Program::Consul],
            Self::Valkey => &[Program::ValkeyServer],
        }
    }

    /// The package whose tests are for it alone.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Redis | Self::Valkey => "lock-redis",
            Self::Etcd => "lock-etcd",
            Self::Consul => "lock-consul",
        }
    }

    /// Those that the tests of a package need.
    pub(crate) fn of_package(package: &str) -> &'static [Self] {
        match package {
            "lock-core" | "lock-file" | "xtask" => &[],
            "lock-redis" => &[Self::Redis],
            "lock-etcd" => &[Self::Etcd],
            "lock-consul" => &[Self::Consul],
            _ => &Self::ALL,
        }
    }
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RedisServer => "redis-server",
            Self::RedisCli => "redis-cli",
            Self::Etcd => "etcd",
            Self::Etcdctl => "etcdctl",
            Self::Consul => "consul",
            Self::ValkeyServer => "valkey-server",
        }
    }

    /// The environment variable that names its file; tests look there first.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::RedisServer | Self::ValkeyServer => "DISTLOCK_REDIS_SERVER",
            Self::RedisCli => "DISTLOCK_REDIS_CLI",
            Self::Etcd => "DISTLOCK_ETCD",
            Self::Etcdctl => "DISTLOCK_ETCDCTL",
            Self::Consul => "DISTLOCK_CONSUL",
        }
    }

    /// The package of Debian and its children.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::RedisServer => "redis-server",
            Self::RedisCli => "redis-tools",
            Self::Etcd => "etcd-server",
            Self::Etcdctl => "etcd-client",
            Self::Consul => "consul",
            Self::ValkeyServer => "valkey-server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tests_one_backend_needs_one_server() {
        for server in Server::ALL {
            assert_eq!(Server::of_package(server.package()), [server]);
        }
        assert_eq!(Server::of_package("lock-core"), []);
        assert_eq!(Server::of_package("distlock"), Server::ALL);
        // It counts what each backend asks of its server.
        assert_eq!(Server::of_package("distlock-bench"), Server::ALL);
    }
}

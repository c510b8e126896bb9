//! How a connection is made: addresses, passwords, TLS.

mod sentinel;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisResult, TlsCertificates,
};

use crate::tls::{Tls, unusable};
use sentinel::Sentinel;

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Which servers.
#[derive(Debug, Clone)]
pub(crate) enum Servers {
    One(Address),
    /// Some sentinels, and the name of their master.
    Sentinel(Vec<Address>, String),
    /// Some nodes.
    Cluster(Vec<Address>),
}

/// What all connections of a backend have in common.
pub(crate) struct Settings {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
    pub(crate) tls: Option<Tls>,
    /// Of a call, and of connecting.
    pub(crate) limit: Duration,
}

/// Makes connections to one server, or to whichever server is the master now.
pub(crate) struct Connector {
    settings: Arc<Settings>,
    to: To,
    shown: Arc<str>,
}

enum To {
    Server(Address),
    Master(Vec<Arc<Sentinel>>),
}

impl Address {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Servers {
    pub(crate) fn addresses(&self) -> &[Address] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Sentinel(addresses, _) | Self::Cluster(addresses) => addresses,
        }
    }
}

impl Settings {
    fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(self.database);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        login
    }

    /// `None` without TLS.
    async fn certificates(&self) -> RedisResult<Option<TlsCertificates>> {
        match &self.tls {
            Some(tls) => tls.certificates().await.map(Some),
            None => Ok(None),
        }
    }

    fn info(&self, address: &Address) -> RedisResult<ConnectionInfo> {
        let addr = self.addr(address);
        Ok(addr.into_connection_info()?.set_tcp_settings(tcp()).set_redis_settings(self.login()))
    }

    fn addr(&self, address: &Address) -> ConnectionAddr {
        let (host, port) = (address.host.clone(), address.port);
        match self.tls {
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            None => ConnectionAddr::Tcp(host, port),
        }
    }
}

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

impl Connector {
    pub(crate) fn to_server(settings: Arc<Settings>, address: Address) -> Self {
        let shown = address.to_string().into();
        Self { settings, to: To::Server(address), shown }
    }

    pub(crate) fn to_master(settings: &Arc<Settings>, sentinels: &[Address], name: &str) -> Self {
        let list: Vec<_> = sentinels.iter().map(Address::to_string).collect();
        let shown = format!("the master \"{name}\" of the sentinels {}", list.join(",")).into();
        let sentinels = sentinels.iter().map(|address| Sentinel::new(settings, address, name)).collect();
        Self { settings: settings.clone(), to: To::Master(sentinels), shown }
    }

    /// What messages call the server.
    pub(crate) fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    /// How long a call, or connecting, may take.
    pub(crate) fn limit(&self) -> Duration {
        self.settings.limit
    }

    /// Connects, with limits of the caller's. Messages of the server go to `push`.
    pub(crate) async fn connect(&self, push: impl AsyncPushSender) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(1024)
            .set_push_sender(push);
        let client = match &self.to {
            To::Server(address) => self.client(address).await?,
            To::Master(sentinels) => sentinel::master_of(sentinels, self.limit() / 2).await?,
        };
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn client(&self, address: &Address) -> RedisResult<Client> {
        let info = self.settings.info(address)?;
        match self.settings.certificates().await? {
            Some(certificates) => Client::build_with_tls(info, certificates).map_err(|error| unusable(&error)),
            None => Client::open(info),
        }
    }
}

//! How a connection is made: addresses, passwords, TLS, and asking Sentinel which server is the master.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::builder::Tls;

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

/// One sentinel, and the master that it is asked for. The driver can ask several, but takes their answers in order: a
/// first one that hangs would hang all.
struct Sentinel {
    settings: Arc<Settings>,
    address: Address,
    name: String,
    /// The mutex is for the driver, whose client counts while it asks.
    kept: tokio::sync::Mutex<Option<Box<SentinelClient>>>,
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

    fn certificates(&self) -> Option<TlsCertificates> {
        let tls = self.tls.as_ref()?;
        // The driver panics without a provider. Another one that the program installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client_tls =
            tls.client.clone().map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        Some(TlsCertificates { client_tls, root_cert: tls.authorities.clone() })
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
        let sentinel = |address: &Address| {
            Arc::new(Sentinel {
                settings: settings.clone(),
                address: address.clone(),
                name: name.to_owned(),
                kept: tokio::sync::Mutex::default(),
            })
        };
        let sentinels = sentinels.iter().map(sentinel).collect();
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
            To::Server(address) => self.client(address)?,
            To::Master(sentinels) => first_answer(sentinels, self.limit() / 2).await?,
        };
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    fn client(&self, address: &Address) -> RedisResult<Client> {
        let info = self.settings.info(address)?;
        match self.settings.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }
}

/// Asks all sentinels at once; the first that names a master which says that it is one decides.
async fn first_answer(sentinels: &[Arc<Sentinel>], limit: Duration) -> RedisResult<Client> {
    let mut answers = JoinSet::new();
    for sentinel in sentinels {
        let sentinel = sentinel.clone();
        answers.spawn(async move { timeout(limit, sentinel.master()).await });
    }
    let mut failed = None;
    while let Some(answer) = answers.join_next().await {
        match answer {
            Ok(Ok(Ok(client))) => return Ok(client),
            Ok(Ok(Err(error))) => failed = Some(error),
            // It said nothing in time.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Err(failed.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

impl Sentinel {
    async fn master(&self) -> RedisResult<Client> {
        let mut kept = self.kept.lock().await;
        let mut client = match kept.take() {
            Some(client) => client,
            None => self.client(self.settings.password.is_some())?,
        };
        let mut answer = client.async_get_client().await;
        if let Err(first) = &answer
            && first.kind() == redis::ErrorKind::AuthenticationFailed
            && self.settings.password.is_some()
        {
            // Most sentinels have no password, and refuse the one that is for the servers.
            client = self.client(false)?;
            let again = client.async_get_client().await;
            if !again.as_ref().is_err_and(|again| again.code() == Some("NOAUTH")) {
                answer = again;
            }
        }
        if answer.is_ok() {
            *kept = Some(client);
        }
        answer
    }

    /// The same certificates for the sentinel as for the servers, and the same password if `with_password`.
    fn client(&self, with_password: bool) -> RedisResult<Box<SentinelClient>> {
        let settings = &self.settings;
        let addresses = vec![settings.addr(&self.address)];
        let mut builder = SentinelClientBuilder::new(addresses, &self.name, SentinelServerType::Master)?
            .set_client_to_redis_db(settings.database)
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_tcp_settings(tcp());
        if let Some(user) = &settings.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &settings.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if with_password {
            if let Some(user) = &settings.user {
                builder = builder.set_client_to_sentinel_username(user);
            }
            if let Some(password) = &settings.password {
                builder = builder.set_client_to_sentinel_password(password);
            }
        }
        if let Some(certificates) = settings.certificates() {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build().map(Box::new)
    }
}

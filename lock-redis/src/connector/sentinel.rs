//! Asking Sentinel which server is the master.

use std::sync::Arc;
use std::time::Duration;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ProtocolVersion, RedisResult, TlsMode};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Address, Settings, tcp};

/// One sentinel, and the master that it is asked for. The driver can ask several, but takes their answers in order: a
/// first one that hangs would hang all.
pub(super) struct Sentinel {
    settings: Arc<Settings>,
    address: Address,
    name: String,
    /// The mutex is for the driver, whose client counts while it asks.
    kept: tokio::sync::Mutex<Option<Box<SentinelClient>>>,
}

/// Asks all sentinels at once; the first that names a master which says that it is one decides.
pub(super) async fn master_of(sentinels: &[Arc<Sentinel>], limit: Duration) -> RedisResult<Client> {
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
    pub(super) fn new(settings: &Arc<Settings>, address: &Address, name: &str) -> Arc<Self> {
        Arc::new(Self {
            settings: settings.clone(),
            address: address.clone(),
            name: name.to_owned(),
            kept: tokio::sync::Mutex::default(),
        })
    }

    async fn master(&self) -> RedisResult<Client> {
        let mut kept = self.kept.lock().await;
        let mut client = match kept.take() {
            Some(client) => client,
            None => self.client(self.settings.password.is_some()).await?,
        };
        let mut answer = client.async_get_client().await;
        if let Err(first) = &answer
            && first.kind() == redis::ErrorKind::AuthenticationFailed
            && self.settings.password.is_some()
        {
            // Most sentinels have no password, and refuse the one that is for the servers.
            client = self.client(false).await?;
            let again = client.async_get_client().await;
            if !again.as_ref().is_err_and(|again| again.code() == Some("NOAUTH")) {
                answer = again;
            }
        }
        // With TLS it would keep its certificates.
        if answer.is_ok() && self.settings.tls.is_none() {
            *kept = Some(client);
        }
        answer
    }

    /// The same certificates for the sentinel as for the servers, and the same password if `with_password`.
    async fn client(&self, with_password: bool) -> RedisResult<Box<SentinelClient>> {
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
        if let Some(certificates) = settings.certificates().await? {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build().map(Box::new)
    }
}

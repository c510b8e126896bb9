//! Settings of a backend.

use std::fmt;
use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Operation};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::EtcdBackend;

/// The server itself grants nothing shorter with its usual election timeout, whatever was asked for.
const USUAL_FLOOR: Duration = Duration::from_secs(2);

/// How long one request to one endpoint may take. With several, the next one is asked then, while the supervisor's own
/// limit (two seconds) lasts.
const LIMIT_OF_ONE: Duration = Duration::from_millis(1_900);
const LIMIT_OF_SEVERAL: Duration = Duration::from_millis(800);

/// Settings of an [`EtcdBackend`].
#[derive(Clone)]
pub struct EtcdBackendBuilder {
    pub(crate) endpoints: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) user: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) min_ttl: Duration,
    pub(crate) call_limit: Option<Duration>,
    pub(crate) share_leases: bool,
}

/// What a TLS connection needs. Without a CA, those of this system are trusted.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl EtcdBackendBuilder {
    pub(crate) fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            prefix: String::new(),
            user: None,
            tls: None,
            min_ttl: USUAL_FLOOR,
            call_limit: None,
            share_leases: false,
        }
    }

    /// Puts this text in front of every key, such as `locks/`. Empty by default, so that `etcdctl lock NAME` and the
    /// lock `NAME` are the same.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Logs in as this user. The token that the server gives is renewed when it has expired.
    pub fn with_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Speaks TLS, and trusts the certificate authorities of this system.
    pub fn with_tls(mut self) -> Self {
        self.tls.get_or_insert_default();
        self
    }

    /// Speaks TLS, and trusts this certificate authority (PEM) alone.
    pub fn with_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.get_or_insert_default().ca = Some(pem.into());
        self
    }

    /// Speaks TLS, and shows the server this certificate with its key (both PEM).
    pub fn with_identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.tls.get_or_insert_default().identity = Some((certificate.into(), key.into()));
        self
    }

    /// The shortest TTL granted: two seconds by default, one at least. The server raises a TTL that is shorter than
    /// one and a half of its election timeouts; what it granted is told.
    pub fn with_min_ttl(mut self, floor: Duration) -> Self {
        self.min_ttl = floor.max(Duration::from_secs(1));
        self
    }

    /// How long one request to one endpoint may take before the next one is asked: 1.9 s with one endpoint, 0.8 s with
    /// several by default.
    pub fn with_call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = Some(limit);
        self
    }

    /// Lets up to 500 locks share one lease: for a process that holds thousands. See the page of this crate for what
    /// is promised less then.
    pub fn with_shared_leases(mut self) -> Self {
        self.share_leases = true;
        self
    }

    /// Checks the settings. Connections are made when they are needed.
    ///
    /// # Errors
    /// [`BackendError`] of kind `InvalidConfiguration` for an endpoint or a certificate that makes no sense.
    pub fn build(self) -> Result<EtcdBackend, BackendError> {
        if self.endpoints.is_empty() {
            return Err(invalid("no endpoint is given", "name one as HOST:2379"));
        }
        for endpoint in &self.endpoints {
            self.endpoint(endpoint)?;
        }
        Ok(EtcdBackend::with(self))
    }

    pub(crate) fn limit(&self) -> Duration {
        let usual = if self.endpoints.len() == 1 { LIMIT_OF_ONE } else { LIMIT_OF_SEVERAL };
        self.call_limit.unwrap_or(usual)
    }

    /// One endpoint with all settings of a connection.
    pub(crate) fn endpoint(&self, endpoint: &str) -> Result<tonic::transport::Endpoint, BackendError> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let advice = "name each endpoint as HOST:2379";
        let made = tonic::transport::Endpoint::from_shared(format!("{scheme}://{endpoint}"))
            .map_err(|error| invalid(format!("the endpoint \"{endpoint}\": {error}"), advice))?;
        let has_host = made.uri().host().is_some_and(|host| !host.is_empty());
        if !has_host || made.uri().path() != "/" || endpoint.contains('@') {
            return Err(invalid("an endpoint is no host and port", advice));
        }
        let made = made
            .connect_timeout(self.limit())
            .tcp_nodelay(true)
            // The server takes pings more often than every five seconds for an attack.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(3))
            .keep_alive_while_idle(true);
        match &self.tls {
            None => Ok(made),
            Some(tls) => made.tls_config(tls.config()).map_err(|error| {
                let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                invalid(
                    format!("the certificates can't be used: {why}"),
                    "they are PEM files: look at ca=, cert=, key=",
                )
            }),
        }
    }
}

impl Tls {
    fn config(&self) -> ClientTlsConfig {
        let config = ClientTlsConfig::new();
        let config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            None => config.with_native_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
            None => config,
        }
    }
}

fn invalid(message: impl Into<String>, advice: &'static str) -> BackendError {
    BackendError::new(ErrorKind::InvalidConfiguration, Operation::Connect, message).with_advice(advice)
}

impl fmt::Debug for EtcdBackendBuilder {
    /// Without the password and the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdBackendBuilder")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("tls", &self.tls.is_some())
            .field("min_ttl", &self.min_ttl)
            .field("share_leases", &self.share_leases)
            .finish_non_exhaustive()
    }
}

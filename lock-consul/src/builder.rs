//! Settings, and the client that they make.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use lock_core::{BackendError, ErrorKind, HolderInfo, LeaseClock, Operation, SystemClock};
use reqwest::header::{HeaderMap, HeaderValue};

use crate::api::Api;
use crate::backend::{ConsulBackend, Shared};
use crate::datacenter::Datacenter;
use crate::kept::Kept;
use crate::owners::Owners;
use crate::session::Idle;
use crate::tls;
use crate::turns::Turns;
use crate::watch::Watches;
use crate::watched::Watched;

/// Consul's own limit.
const LONGEST_LOCK_DELAY: Duration = Duration::from_secs(60);

/// Settings of a [`ConsulBackend`]; made by [`ConsulBackend::builder`].
#[derive(Clone)]
#[must_use]
pub struct ConsulBackendBuilder {
    address: String,
    token: Option<String>,
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    datacenter: Option<String>,
    prefix: String,
    lock_delay: Duration,
    call_limit: Duration,
}

impl ConsulBackendBuilder {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            token: None,
            ca: None,
            identity: None,
            datacenter: None,
            prefix: String::new(),
            lock_delay: Duration::from_secs(1),
            call_limit: Duration::from_millis(1500),
        }
    }

    /// The ACL token. Shown by no error, log line or `Debug` output.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The authority that signed the agent's certificate, as a file of PEM. Default: those of the system.
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Our own certificate and its private key, as files of PEM, for an agent that wants to know its clients.
    pub fn identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// The datacenter whose servers keep the locks. Default: the agent's own. In another one, the sessions belong to the
    /// first of its servers by name, which the ACL token must be allowed to see there (`node:read`, and `service:read` for
    /// `consul`).
    pub fn datacenter(mut self, name: impl Into<String>) -> Self {
        self.datacenter = Some(name.into());
        self
    }

    /// What every key of ours begins with, such as `locks/`. Default: nothing, so that the lock `deploy` is the one
    /// of `consul lock deploy`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a lock stays shut after its holder's session ended without a release: 0 to 60 s, in milliseconds.
    /// Default: one second, for a holder that still has to hear of it. One of a whole TTL covers what ends a session without
    /// the holder's hearing of it, such as an agent that leaves the cluster.
    pub fn lock_delay(mut self, delay: Duration) -> Self {
        self.lock_delay = delay;
        self
    }

    /// How long one request may take. Default: 1.5 s. (Without a leader an agent answers after 7 s only.)
    pub fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    /// The backend. Nothing is sent before the first call.
    ///
    /// # Errors
    /// [`BackendError`] of kind `InvalidConfiguration` for an address, a token, a prefix, a delay or a file that can't
    /// be used.
    pub fn build(self) -> Result<ConsulBackend, BackendError> {
        let base = self.address.trim_end_matches('/').to_owned();
        let parsed = reqwest::Url::parse(&base).map_err(|error| bad(format!("the agent's address: {error}")))?;
        let secure = match parsed.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(bad(format!("the agent's address has the scheme {other:?}, not http or https"))),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad("the agent's address has a user or a password: an ACL token is what Consul takes"));
        }
        if self.lock_delay > LONGEST_LOCK_DELAY {
            return Err(bad(format!("the lock-delay {:?} is outside Consul's 0s to 60s", self.lock_delay)));
        }
        if self.prefix.starts_with('/') {
            return Err(bad("the prefix begins with a \"/\": Consul's keys don't"));
        }
        let mut http = reqwest::Client::builder()
            // A redirect could take the token, or the lock, elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .connect_timeout(self.call_limit)
            .default_headers(self.headers()?);
        if secure {
            let identity = self.identity.as_ref().map(|(certificate, key)| (&**certificate, &**key));
            http = http.tls_backend_preconfigured(tls::config(self.ca.as_deref(), identity)?).https_only(true);
        } else {
            // Without one of its own, the client asks for a provider that the whole process shares.
            http = http.tls_backend_preconfigured(tls::trusting_nobody()?);
        }
        if !secure && (self.ca.is_some() || self.identity.is_some()) {
            return Err(bad("a certificate is given, and the address is without TLS: use https (consuls://)"));
        }
        let http = http.build().map_err(|error| bad(format!("the HTTP client: {error}")).with_source(error))?;
        let datacenter = self.datacenter.as_deref().map_or_else(Datacenter::default, Datacenter::named);
        let txn = reqwest::Url::parse(&format!("{base}/v1/txn?{}", datacenter.query))
            .map_err(|error| bad(format!("the agent's address: {error}")))?;
        let api = Arc::new(Api { http, txn, base, datacenter, limit: self.call_limit, turns: Turns::default() });
        let holder = HolderInfo::this_process();
        let watches = Watches::new(api.clone());
        Ok(ConsulBackend {
            shared: Arc::new(Shared {
                api,
                prefix: self.prefix,
                lock_delay: self.lock_delay,
                shut: AtomicU32::new(0),
                session_name: format!("distlock: {} on {}, pid {}", holder.program(), holder.host(), holder.pid()),
                clock: SystemClock::new(LeaseClock::Boot),
                owners: Owners::default(),
                idle: Idle::default(),
                kept: Kept::default(),
                watched: Watched::new(watches.clone()),
                watches,
            }),
        })
    }

    fn headers(&self) -> Result<HeaderMap, BackendError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(token)
                .map_err(|_| bad("the ACL token has characters that no header can have"))?;
            value.set_sensitive(true);
            headers.insert("x-consul-token", value);
        }
        Ok(headers)
    }
}

impl fmt::Debug for ConsulBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulBackendBuilder")
            .field("address", &self.address)
            .field("datacenter", &self.datacenter)
            .field("prefix", &self.prefix)
            .field("lock_delay", &self.lock_delay)
            .finish_non_exhaustive()
    }
}

fn bad(what: impl Into<String>) -> BackendError {
    BackendError::new(ErrorKind::InvalidConfiguration, Operation::Connect, what)
}

//! Certificates, from texts or from files.

use std::fmt;
use std::path::{Path, PathBuf};

use redis::{ClientTlsConfig, ErrorKind, RedisError, RedisResult, TlsCertificates};

/// How to speak TLS. All texts and files are PEM.
///
/// Files are read for each connection: certificates that were replaced are used from the next one on.
#[derive(Clone, Default)]
pub struct Tls {
    authorities: Option<Pem>,
    client: Option<(Pem, Pem)>,
}

#[derive(Clone)]
enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Tls {
    /// Trusts the authorities of the operating system, and shows no certificate of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities alone.
    pub fn with_authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(Pem::Text(pem.into()));
        self
    }

    /// Trusts the authorities in this file alone.
    pub fn with_authorities_file(mut self, file: impl AsRef<Path>) -> Self {
        self.authorities = Some(Pem::file(file));
        self
    }

    /// Shows this certificate chain and proves it with this key.
    pub fn with_client(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = Some((Pem::Text(certificates.into()), Pem::Text(key.into())));
        self
    }

    /// Shows the certificate chain in a file and proves it with the key in another.
    pub fn with_client_files(mut self, certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.client = Some((Pem::file(certificates), Pem::file(key)));
        self
    }

    /// As the driver wants them.
    pub(crate) async fn certificates(&self) -> RedisResult<TlsCertificates> {
        // The driver panics without a provider. Another one that the program installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root_cert = match &self.authorities {
            Some(pem) => Some(pem.read().await?),
            None => None,
        };
        let client_tls = match &self.client {
            Some((certificates, key)) => {
                Some(ClientTlsConfig { client_cert: certificates.read().await?, client_key: key.read().await? })
            }
            None => None,
        };
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

impl Pem {
    fn file(file: impl AsRef<Path>) -> Self {
        // The program may change its directory. What can't be made absolute (an empty path) can't be read either.
        Self::File(std::path::absolute(&file).unwrap_or_else(|_| file.as_ref().to_owned()))
    }

    async fn read(&self) -> RedisResult<Vec<u8>> {
        let file = match self {
            Self::Text(text) => return Ok(text.clone()),
            Self::File(file) => file.clone(),
        };
        let shown = file.display().to_string();
        // A disk that hangs must not hang the runtime.
        let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
        let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        read.map_err(|error| unusable(&format!("{shown} can't be read: {error}")))
    }
}

/// Certificates that can't even be tried.
pub(crate) fn unusable(why: &impl fmt::Display) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "the certificates can't be used", why.to_string()))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("client", &self.client.is_some()).finish_non_exhaustive()
    }
}

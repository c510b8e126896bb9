//! A server that speaks TLS alone, and wants to see a client's certificate.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::server::RedisServer;

/// A server with certificates of an authority of its own.
#[derive(Debug)]
pub struct RedisTls {
    server: RedisServer,
    port: u16,
    directory: tempfile::TempDir,
}

impl RedisTls {
    /// Makes the certificates and starts the server. `arguments` as on the command line.
    ///
    /// # Errors
    /// When redis-server isn't installed, has no TLS, or doesn't start.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("distlock-certificates-").tempdir()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let write = |name: &str, text: String| fs::write(directory.path().join(name), text);
        write("ca.pem", authority.pem())?;
        for (name, purpose) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
            params.extended_key_usages = vec![purpose];
            let certificate = params.signed_by(&key, &authority)?;
            write(&format!("{name}.pem"), certificate.pem())?;
            write(&format!("{name}.key"), key.serialize_pem())?;
        }
        let port = crate::port::free()?;
        let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let (ca, certificate, key, tls_port) =
            (file("ca.pem"), file("server.pem"), file("server.key"), port.to_string());
        let mut all = vec!["--tls-port", &tls_port, "--tls-ca-cert-file", &ca, "--tls-cert-file", &certificate];
        all.extend(["--tls-key-file", &key, "--tls-auth-clients", "yes"]);
        all.extend(arguments);
        let server = RedisServer::start(&all).context("a server with TLS")?;
        Ok(Self { server, port, directory })
    }

    /// Its TLS port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server, which has a plain port as well.
    pub fn server(&self) -> &RedisServer {
        &self.server
    }

    /// One of `ca.pem`, `client.pem`, `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

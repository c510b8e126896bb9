//! A server that speaks TLS alone, and wants to see a client's certificate.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

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
        issue(directory.path(), "server")?;
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

    /// Replaces the authority and all certificates, at the server and in the files. Connections stay as they are.
    ///
    /// # Errors
    /// When the files can't be written, or the server refuses them.
    pub fn renew_certificates(&self) -> Result<()> {
        // Under other names: a server doesn't read again what it knows by name.
        issue(self.directory.path(), "server-anew")?;
        let file = |name: &str| self.file(name).to_string_lossy().into_owned();
        let (ca, certificate, key) = (file("server-anew-ca.pem"), file("server-anew.pem"), file("server-anew.key"));
        let words = ["CONFIG", "SET", "tls-ca-cert-file", &ca, "tls-cert-file", &certificate, "tls-key-file", &key];
        self.server.command(&words)?;
        Ok(())
    }

    /// Its URL for the facade, with the authority and the client's certificate.
    pub fn url(&self) -> String {
        let file = |name: &str| self.file(name).display().to_string();
        format!(
            "rediss://127.0.0.1:{}?ca={}&cert={}&key={}",
            self.port,
            file("ca.pem"),
            file("client.pem"),
            file("client.key")
        )
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

/// Makes an authority, and certificates for a client and for a server of this name.
fn issue(directory: &Path, server: &str) -> Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    // The others' issuer must have another name than they have.
    authority.distinguished_name.push(DnType::CommonName, "Distlock's test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let write = |name: &str, text: String| fs::write(directory.join(name), text);
    write("ca.pem", authority.pem())?;
    write(&format!("{server}-ca.pem"), authority.pem())?;
    for (name, purpose) in
        [(server, ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &authority)?;
        write(&format!("{name}.pem"), certificate.pem())?;
        write(&format!("{name}.key"), key.serialize_pem())?;
    }
    Ok(())
}

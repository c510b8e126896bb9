//! Certificates for a cluster of one test.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// A certificate authority, a server's certificate for 127.0.0.1 and localhost, and a client's, as PEM files.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes new ones. The client's certificate bears `client` as its common name: the user that etcd takes it for.
    ///
    /// # Errors
    /// When they can't be made or written.
    pub fn make(client: &str) -> Result<Self> {
        let made = Self { directory: tempfile::Builder::new().prefix("distlock-tls-").tempdir()? };
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "a test's authority");
        let key = KeyPair::generate()?;
        std::fs::write(made.ca(), params.self_signed(&key)?.pem())?;
        let authority = Issuer::new(params, key);
        // The server's own gateway is a client of the server: it shows the server's certificate.
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        made.issue(&authority, "server", "server", &both)?;
        made.issue(&authority, "client", client, &[ExtendedKeyUsagePurpose::ClientAuth])?;
        Ok(made)
    }

    fn issue(
        &self,
        authority: &Issuer<'_, KeyPair>,
        file: &str,
        name: &str,
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<()> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = usages.to_vec();
        let key = KeyPair::generate()?;
        std::fs::write(self.path(&format!("{file}.pem")), params.signed_by(&key, authority)?.pem())?;
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The server's certificate and key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.pem"), self.path("server.key"))
    }

    /// The client's certificate and key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.path("client.pem"), self.path("client.key"))
    }

    fn path(&self, name: &str) -> PathBuf {
        let directory: &Path = self.directory.path();
        directory.join(name)
    }
}

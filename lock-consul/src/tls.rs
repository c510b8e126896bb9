//! TLS: which authorities are trusted, and who we say we are.

use std::path::Path;
use std::sync::Arc;

use lock_core::{BackendError, ErrorKind, Operation};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// A TLS set-up of this client's own: nothing global is installed or asked.
///
/// # Errors
/// When a file can't be read, or isn't what it should be.
pub(crate) fn config(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<ClientConfig, BackendError> {
    let builder = builder()?.with_root_certificates(roots(ca)?);
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| bad(&format!("{} has no private key in PEM", key.display()), &error))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| bad(&format!("{} and {} can't be used", certificate.display(), key.display()), &error))
}

/// For a client that speaks without TLS.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, BackendError> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, BackendError> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS can't be set up", &error))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, BackendError> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = ca else {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(bad("this system has no certificates of authorities: name one with ca=", &"none was found"));
        }
        return Ok(roots);
    };
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| bad(&format!("{} can't be used", ca.display()), &error))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BackendError> {
    let read = |error| bad(&format!("{} can't be read as certificates in PEM", file.display()), &error);
    let found: Vec<_> = CertificateDer::pem_file_iter(file).map_err(read)?.collect::<Result<_, _>>().map_err(read)?;
    if found.is_empty() {
        return Err(bad(&format!("{} can't be used", file.display()), &"it has no certificate in PEM"));
    }
    Ok(found)
}

fn bad(what: &str, error: &dyn std::fmt::Display) -> BackendError {
    BackendError::new(ErrorKind::InvalidConfiguration, Operation::Connect, format!("{what}: {error}"))
}

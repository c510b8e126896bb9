//! From a URL to a supervisor.

#[cfg(feature = "consul")]
mod consul;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "file")]
mod file;
#[cfg(any(feature = "redis", feature = "etcd", feature = "consul"))]
mod network;
#[cfg(any(feature = "file", feature = "redis", feature = "etcd", feature = "consul"))]
mod parameters;
#[cfg(feature = "redis")]
mod redis;

use std::env::VarError;
use std::sync::Arc;

use lock_core::{Store, Supervisor};

use crate::ConnectError;

/// The environment variable that names the store.
const URL_VARIABLE: &str = "DISTLOCK_URL";

/// The embedded default: a directory on this host.
const DEFAULT_URL: &str = "file:";

/// What a URL names, without opening it: for the fuzz targets. Each backend's reader is called by its schemes.
#[cfg(feature = "fuzzing")]
pub(crate) fn read(url: &str) -> Result<Option<std::path::PathBuf>, ConnectError> {
    match scheme(url)?.as_str() {
        #[cfg(feature = "file")]
        "file" => file::directory(url).map(Some),
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis+sentinel" | "redis+cluster" => redis::builder(url).map(|_| None),
        #[cfg(feature = "etcd")]
        "etcd" | "etcds" => etcd::builder(url).map(|_| None),
        #[cfg(feature = "consul")]
        "consul" | "consuls" => consul::builder(url).map(|_| None),
        _ => Ok(None),
    }
}

/// What can be written, told with every URL that can't be used.
pub(crate) fn known() -> String {
    let stores: &[&str] = &[
        #[cfg(feature = "file")]
        file::KNOWN,
        #[cfg(feature = "redis")]
        redis::KNOWN,
        #[cfg(feature = "etcd")]
        etcd::KNOWN,
        #[cfg(feature = "consul")]
        consul::KNOWN,
    ];
    if stores.is_empty() {
        return "this build knows none: turn on a feature of the crate, such as \"file\"".to_owned();
    }
    format!("known are {}", stores.join(", "))
}

/// Opens the store that `url` names and makes a supervisor over it.
///
/// | URL | store | feature |
/// |---|---|---|
/// | `file:`, `file:///directory` | a directory on this host | `file` |
/// | `redis://host:6379`, `rediss://`, `redis+sentinel://`, `redis+cluster://` | Redis or Valkey | `redis` |
/// | `etcd://h1:2379,h2:2379`, `etcds://` | etcd | `etcd` |
/// | `consul://host:8500`, `consuls://` | Consul | `consul` |
///
/// # Errors
/// [`ConnectError`]: the URL makes no sense, names what isn't known or isn't built in, or the
/// store can't be used.
///
/// # Cancel safety
/// Dropping the future drops the connection.
pub async fn connect(url: &str) -> Result<Supervisor, ConnectError> {
    Ok(Supervisor::builder(open(url).await?).build())
}

/// As [`connect`], to the store that `DISTLOCK_URL` names; without it, to `file:`.
///
/// # Errors
/// As [`connect`], and when the variable isn't Unicode.
///
/// # Cancel safety
/// As [`connect`].
pub async fn connect_from_env() -> Result<Supervisor, ConnectError> {
    Ok(Supervisor::builder(open_from_env().await?).build())
}

/// Opens a store for its administration: to look at its locks, to take one away, to check it.
/// [`Supervisor::builder`] makes a supervisor of it, too.
///
/// # Errors
/// As [`connect`].
///
/// # Cancel safety
/// As [`connect`].
pub async fn open(url: &str) -> Result<Arc<dyn Store>, ConnectError> {
    let scheme = scheme(url)?;
    match scheme.as_str() {
        #[cfg(feature = "file")]
        "file" => file::open(url),
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis+sentinel" | "redis+cluster" => redis::open(url).await,
        #[cfg(feature = "etcd")]
        "etcd" | "etcds" => etcd::open(url),
        #[cfg(feature = "consul")]
        "consul" | "consuls" => consul::open(url).await,
        _ => Err(ConnectError::UnknownScheme { scheme }),
    }
}

/// As [`open`], the store that `DISTLOCK_URL` names; without it, `file:`.
///
/// # Errors
/// As [`connect_from_env`].
///
/// # Cancel safety
/// As [`connect`].
pub async fn open_from_env() -> Result<Arc<dyn Store>, ConnectError> {
    match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => open(&url).await,
        Ok(_) | Err(VarError::NotPresent) => open(DEFAULT_URL).await,
        Err(VarError::NotUnicode(_)) => Err(ConnectError::Environment { name: URL_VARIABLE }),
    }
}

/// The scheme, in lower case. A text that only looks like a URL may be a password and a host: it is not
/// repeated.
fn scheme(url: &str) -> Result<String, ConnectError> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
    Ok(scheme.ok_or_else(|| invalid("it has no scheme"))?.to_ascii_lowercase())
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn invalid(why: impl Into<String>) -> ConnectError {
    ConnectError::InvalidUrl { why: why.into() }
}

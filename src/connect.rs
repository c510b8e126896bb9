//! From a URL to a supervisor.

use std::env::VarError;
use std::sync::Arc;

use lock_core::{Store, Supervisor};

use crate::ConnectError;

/// The environment variable that names the store.
const URL_VARIABLE: &str = "DISTLOCK_URL";

/// The embedded default: a directory on this host.
const DEFAULT_URL: &str = "file:";

/// What can be written, told with every URL that can't be used.
#[cfg(feature = "file")]
pub(crate) const KNOWN: &str = "known are \"file:\" (a directory of this user's) and \"file:///DIRECTORY\"";
#[cfg(not(feature = "file"))]
pub(crate) const KNOWN: &str = "this build knows none: turn on a feature of the crate, such as \"file\"";

/// Opens the store that `url` names and makes a supervisor over it.
///
/// | URL | store | feature |
/// |---|---|---|
/// | `file:`, `file:///directory` | a directory on this host | `file` |
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
    // A text that only looks like a URL may be a password and a host: it is not repeated.
    let scheme = url.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
    let scheme = scheme.ok_or_else(|| invalid("it has no scheme"))?.to_ascii_lowercase();
    match scheme.as_str() {
        #[cfg(feature = "file")]
        "file" => file::open(url),
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

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn invalid(why: impl Into<String>) -> ConnectError {
    ConnectError::InvalidUrl { why: why.into() }
}

#[cfg(feature = "file")]
mod file {
    use std::path::{Path, PathBuf};

    use lock_core::LockKey;
    use lock_file::{FileBackend, NetworkFileSystems};

    use url::Url;

    use super::{Arc, ConnectError, Store, invalid};

    const SCHEME: &str = "file";

    pub(super) fn open(text: &str) -> Result<Arc<dyn Store>, ConnectError> {
        let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
        let path = text[SCHEME.len() + 1..].split(['?', '#']).next().unwrap_or_default();
        let directory = match path {
            "" => default_directory(),
            "//" => return Err(invalid("it names no directory")),
            path if path.starts_with('/') => {
                url.to_file_path().map_err(|()| invalid("it names another host; a directory is file:///DIRECTORY"))?
            }
            _ => return Err(invalid("a directory is named from the root: file:///DIRECTORY")),
        };
        if url.fragment().is_some() {
            return Err(invalid("it has a \"#\"; in a directory's name write it as %23"));
        }
        let (mut network, mut within) = (NetworkFileSystems::default(), None);
        let mut seen = Vec::new();
        for (name, value) in url.query_pairs() {
            if seen.contains(&name) {
                return Err(invalid(format!("the parameter \"{name}\" is given twice")));
            }
            seen.push(name.clone());
            match (&*name, &*value) {
                // "@" never stands in a key's encoded name, so a prefix never meets a lock.
                ("prefix", "") => return Err(bad_value("prefix", "", "a prefix must not be empty")),
                ("prefix", prefix) => within = Some(format!("@{}", prefix_name(prefix)?)),
                ("network", "allow") => network = NetworkFileSystems::Allow,
                ("network", _) => return Err(bad_value("network", &value, "the only value is \"allow\"")),
                _ => {
                    let known = "\"prefix\" and \"network\"";
                    return Err(ConnectError::UnknownParameter { scheme: SCHEME, name: name.into_owned(), known });
                }
            }
        }
        let open = |directory: &Path| FileBackend::builder(directory).with_network_file_systems(network).open();
        // Also when only a directory below it is used: it is checked as it is opened.
        let whole = open(&directory)?;
        Ok(Arc::new(within.map_or(Ok(whole), |within| open(&directory.join(within)))?))
    }

    /// `DISTLOCK_DIR`, else the user's own directory.
    fn default_directory() -> PathBuf {
        let named = std::env::var_os("DISTLOCK_DIR").filter(|directory| !directory.is_empty());
        named.map_or_else(FileBackend::default_directory, PathBuf::from)
    }

    fn prefix_name(prefix: &str) -> Result<String, ConnectError> {
        let key = LockKey::new(prefix).map_err(|error| bad_value("prefix", prefix, &error.to_string()))?;
        Ok(key.encoded_within(200))
    }

    fn bad_value(name: &'static str, value: &str, why: &str) -> ConnectError {
        ConnectError::InvalidParameter { scheme: SCHEME, name, value: value.to_owned(), why: why.to_owned() }
    }
}

//! `file:`: a directory on this host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lock_core::{LockKey, Store};
use lock_file::{FileBackend, NetworkFileSystems};
use url::Url;

use super::invalid;
use super::parameters::{bad_value, parameters};
use crate::ConnectError;

const SCHEME: &str = "file";

/// What can be written.
pub(super) const KNOWN: &str = "\"file:\" (a directory of this user's) and \"file:///DIRECTORY\"";

/// What a URL names.
struct Named {
    directory: PathBuf,
    /// The directory below it that has the locks of a prefix.
    within: Option<String>,
    network: NetworkFileSystems,
}

pub(super) fn open(text: &str) -> Result<Arc<dyn Store>, ConnectError> {
    let Named { directory, within, network } = read(text)?;
    let open = |directory: &Path| FileBackend::builder(directory).with_network_file_systems(network).open();
    // Also when only a directory below it is used: it is checked as it is opened.
    let whole = open(&directory)?;
    Ok(Arc::new(within.map_or(Ok(whole), |within| open(&directory.join(within)))?))
}

/// The directory of locks that a URL names, which is neither created nor looked at.
#[cfg(feature = "fuzzing")]
pub(crate) fn directory(text: &str) -> Result<PathBuf, ConnectError> {
    read(text).map(|named| named.within.iter().fold(named.directory, |directory, within| directory.join(within)))
}

fn read(text: &str) -> Result<Named, ConnectError> {
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
    for (name, value) in parameters(&url)? {
        match (&*name, &*value) {
            // "@" never stands in a key's encoded name, so a prefix never meets a lock.
            ("prefix", "") => return Err(bad_value(SCHEME, "prefix", "", "a prefix must not be empty")),
            ("prefix", prefix) => within = Some(format!("@{}", prefix_name(prefix)?)),
            ("network", "allow") => network = NetworkFileSystems::Allow,
            ("network", _) => return Err(bad_value(SCHEME, "network", &value, "the only value is \"allow\"")),
            _ => {
                let known = "\"prefix\" and \"network\"";
                return Err(ConnectError::UnknownParameter { scheme: SCHEME, name, known });
            }
        }
    }
    Ok(Named { directory, within, network })
}

/// `DISTLOCK_DIR`, else the user's own directory.
fn default_directory() -> PathBuf {
    let named = std::env::var_os("DISTLOCK_DIR").filter(|directory| !directory.is_empty());
    named.map_or_else(FileBackend::default_directory, PathBuf::from)
}

fn prefix_name(prefix: &str) -> Result<String, ConnectError> {
    let key = LockKey::new(prefix).map_err(|error| bad_value(SCHEME, "prefix", prefix, &error.to_string()))?;
    Ok(key.encoded_within(200))
}

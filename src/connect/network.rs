//! What the URLs of stores on the network have in common.

#[cfg(any(feature = "redis", feature = "etcd"))]
use percent_encoding::percent_decode_str;

use super::invalid;
use crate::ConnectError;

/// Refuses a "@" behind the hosts. A "/", "?" or "#" in a password ends it early, and its rest would be taken for a path
/// or a parameter, and shown.
pub(super) fn no_login_behind_the_hosts(rest: &str) -> Result<(), ConnectError> {
    let behind = rest.find(['/', '?', '#']).map_or("", |end| &rest[end..]);
    if !behind.contains('@') {
        return Ok(());
    }
    Err(invalid(
        "it has a \"@\" after the hosts; encode \"/\", \"?\" and \"#\" in the password as %2F, %3F and %23, and an \"@\" that \
         is meant there as %40",
    ))
}

/// A client's certificate and its private key: both, or none.
pub(super) fn identity<T>(certificate: Option<T>, key: Option<T>) -> Result<Option<(T, T)>, ConnectError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err(invalid("\"cert\" and \"key\" go together: a certificate and its private key")),
    }
}

/// A user, a password, a name. It isn't repeated when it can't be decoded.
#[cfg(any(feature = "redis", feature = "etcd"))]
pub(super) fn decoded(text: &str, what: &str) -> Result<String, ConnectError> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| invalid(format!("{what} isn't UTF-8 once decoded")))?.into_owned())
}

/// A file that a parameter names.
#[cfg(any(feature = "redis", feature = "etcd"))]
pub(super) fn read(scheme: &'static str, name: &'static str, file: &str) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(file)
        .map_err(|error| super::parameters::bad_value(scheme, name, file, &format!("it can't be read: {error}")))
}

//! `consul:`: Consul.

use std::env::VarError;
use std::sync::Arc;
use std::time::Duration;

use lock_consul::{ConsulBackend, ConsulBackendBuilder};
use lock_core::Store;
use url::Url;

use super::invalid;
use super::network::{identity, no_login_behind_the_hosts};
use super::parameters::{bad_value, parameters};
use crate::ConnectError;

/// What can be written.
pub(super) const KNOWN: &str = "\"consul://HOST:8500\" and \"consuls://HOST:8501\" (TLS)";

const PARAMETERS: &str = "\"prefix\", \"token\", \"dc\", \"lock_delay\", \"ca\", \"cert\" and \"key\"";
/// What Consul's own programs take the ACL token from.
const TOKEN_VARIABLE: &str = "CONSUL_HTTP_TOKEN";

#[expect(clippy::unused_async, reason = "as the other stores'; nothing is asked before the first call")]
pub(super) async fn open(text: &str) -> Result<Arc<dyn Store>, ConnectError> {
    Ok(Arc::new(builder(text)?.build()?))
}

/// What the URL says; the environment's token is used where it names none.
pub(super) fn builder(text: &str) -> Result<ConsulBackendBuilder, ConnectError> {
    no_login_behind_the_hosts(text.split_once("://").map_or(text, |(_, rest)| rest))?;
    let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    let secure = url.scheme() == "consuls";
    let (scheme, port) = if secure { ("consuls", 8501) } else { ("consul", 8500) };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| invalid("it names no host"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("Consul takes no user and password; an ACL token is given as token="));
    }
    if !matches!(url.path(), "" | "/") {
        return Err(invalid("it has a path; a prefix of all keys is given as prefix="));
    }
    if url.fragment().is_some() {
        return Err(invalid("it has a \"#\"; in a value write it as %23"));
    }
    let http = if secure { "https" } else { "http" };
    let mut builder = ConsulBackend::builder(format!("{http}://{host}:{}", url.port().unwrap_or(port)));
    let (mut token, mut certificate, mut key) = (None, None, None);
    for (name, value) in parameters(&url)? {
        let bad = |name, value: &str, why: &str| bad_value(scheme, name, value, why);
        builder = match (&*name, &*value) {
            ("prefix", "") => return Err(bad("prefix", "", "a prefix must not be empty")),
            ("prefix", prefix) => builder.prefix(prefix),
            ("dc", "") => return Err(bad("dc", "", "a datacenter has a name")),
            ("dc", name) => builder.datacenter(name),
            ("lock_delay", delay) => match lock_delay(delay) {
                Some(delay) => builder.lock_delay(delay),
                None => return Err(bad("lock_delay", delay, "it is a duration from 0s to 60s, such as 500ms")),
            },
            ("token", _) => {
                token = Some(value);
                builder
            }
            ("ca" | "cert" | "key", _) if !secure => {
                return Err(invalid(format!("the parameter \"{name}\" needs TLS: write consuls://")));
            }
            ("ca", file) => builder.ca(file),
            ("cert", _) => {
                certificate = Some(value);
                builder
            }
            ("key", _) => {
                key = Some(value);
                builder
            }
            _ => return Err(ConnectError::UnknownParameter { scheme, name, known: PARAMETERS }),
        };
    }
    if let Some((certificate, key)) = identity(certificate, key)? {
        builder = builder.identity(certificate, key);
    }
    if let Some(token) = token.map_or_else(token_from_env, |token| Ok(Some(token)))? {
        builder = builder.token(token);
    }
    Ok(builder)
}

/// A number alone is none of seconds or milliseconds, but for 0.
fn lock_delay(text: &str) -> Option<Duration> {
    let delay = if text == "0" { Duration::ZERO } else { humantime::parse_duration(text).ok()? };
    (delay <= Duration::from_secs(60)).then_some(delay)
}

fn token_from_env() -> Result<Option<String>, ConnectError> {
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) if !token.is_empty() => Ok(Some(token)),
        Ok(_) | Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(ConnectError::Environment { name: TOKEN_VARIABLE }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let opened = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(open(text));
        opened.err().unwrap_or_else(|| panic!("{text} was taken")).to_string()
    }

    #[test]
    fn urls_that_make_no_sense_say_why_and_repeat_no_secret() {
        for (text, says) in [
            ("consul://", "names no host"),
            ("consul://u:hunter2@h", "token="),
            ("consul://u:12/hunter2@h", "%2F"),
            ("consul://u:12?hunter2@h", "%3F"),
            ("consul://h/path?token=hunter2", "prefix="),
            ("consul://h?token=hunter2&token=x", "given twice"),
            ("consul://h?token=hunter2&colour=red", "has no parameter \"colour\""),
            ("consul://h?token=hunter2%0A", "no header can have"),
            ("consul://h?lock_delay=61s&token=hunter2", "from 0s to 60s"),
            ("consul://h?lock_delay=5", "from 0s to 60s"),
            ("consul://h?ca=x", "consuls://"),
            ("consuls://h?cert=x", "go together"),
            ("consuls://h?ca=/no/such/file", "/no/such/file"),
            ("consul://h?prefix=", "must not be empty"),
            ("consul://h?prefix=/a", "begins with"),
        ] {
            let error = refused(text);
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn urls_of_every_kind_are_taken() {
        for text in [
            "consul://h",
            "consul://[::1]:8500",
            "consul://h:1/?prefix=locks/&dc=b&lock_delay=0&token=x",
            "consuls://h",
        ] {
            let opened = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(open(text));
            assert!(opened.is_ok(), "{text}: {:?}", opened.err());
        }
    }
}

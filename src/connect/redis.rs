//! `redis:`, `rediss:`, `redis+sentinel:`, `redis+cluster:`: Redis or Valkey.

use std::sync::Arc;
use std::time::Duration;

use lock_core::Store;
use lock_redis::{RedisBackend, RedisBuilder, Tls};
use url::Url;

use super::invalid;
use super::network::{decoded, identity, no_login_behind_the_hosts, read};
use super::parameters::{bad_value, parameters};
use crate::ConnectError;

/// What can be written.
pub(super) const KNOWN: &str = "\"redis://HOST:6379\", \"rediss://USER:PASSWORD@HOST:6379/DATABASE\" (TLS), \
     \"redis+sentinel://HOST:26379,HOST:26379/MASTER\" and \"redis+cluster://HOST:6379,HOST:6379\"";

const PARAMETERS: &str = "\"prefix\", \"ca\", \"cert\", \"key\", \"tls\", \"min_replicas\", \"replica_timeout\", and with \
     redis+sentinel: \"database\"";

/// The parts of such a URL. Not `Url`'s own: it knows no lists of hosts.
struct Parts<'a> {
    scheme: &'static str,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<(String, u16)>,
    path: &'a str,
    parameters: Vec<(String, String)>,
}

pub(super) async fn open(text: &str) -> Result<Arc<dyn Store>, ConnectError> {
    Ok(Arc::new(builder(text)?.connect().await?))
}

/// What the URL says, without connecting.
pub(super) fn builder(text: &str) -> Result<RedisBuilder, ConnectError> {
    let parts = Parts::of(text)?;
    let scheme = parts.scheme;
    let mut database = None;
    let builder = match scheme {
        "redis+sentinel" => {
            let name = decoded(parts.path, "the master's name")?;
            if name.is_empty() {
                return Err(invalid("it names no master; write redis+sentinel://HOST,HOST/MASTER"));
            }
            RedisBackend::sentinel(parts.hosts, name)
        }
        "redis+cluster" if parts.path.is_empty() => RedisBackend::cluster(parts.hosts),
        "redis+cluster" => return Err(invalid("a cluster has no databases; leave out what follows the hosts")),
        _ => {
            database = (!parts.path.is_empty()).then(|| number("the database", parts.path)).transpose()?;
            match <[_; 1]>::try_from(parts.hosts) {
                Ok([(host, port)]) => RedisBackend::server(host, port),
                Err(_) => return Err(invalid("it names several hosts; use redis+sentinel:// or redis+cluster://")),
            }
        }
    };
    let builder = match parts.user {
        Some(user) => builder.with_user(user),
        None => builder,
    };
    let builder = match parts.password {
        Some(password) => builder.with_password(password),
        None => builder,
    };
    let builder = match database {
        Some(database) => builder.with_database(database),
        None => builder,
    };
    with_parameters(builder, scheme, parts.parameters)
}

fn with_parameters(
    mut builder: RedisBuilder,
    scheme: &'static str,
    parameters: Vec<(String, String)>,
) -> Result<RedisBuilder, ConnectError> {
    let bad = |name: &'static str, value: &str, why: &str| bad_value(scheme, name, value, why);
    let (mut tls, mut cert, mut key) = ((scheme == "rediss").then(Tls::new), None, None);
    let (mut replicas, mut replica_limit) = (0, None);
    for (name, value) in parameters {
        match (name.as_str(), value.as_str()) {
            ("prefix", prefix) => builder = builder.with_prefix(prefix),
            ("tls", "on") => tls = tls.or_else(|| Some(Tls::new())),
            ("tls", _) => return Err(bad("tls", &value, "the only value is \"on\"")),
            ("ca", file) => tls = Some(tls.unwrap_or_default().with_authorities_file(readable(scheme, "ca", file)?)),
            ("cert", file) => cert = Some(readable(scheme, "cert", file)?.to_owned()),
            ("key", file) => key = Some(readable(scheme, "key", file)?.to_owned()),
            ("database", text) if scheme == "redis+sentinel" => {
                builder = builder.with_database(text.parse().map_err(|_| bad("database", text, "it is a number"))?);
            }
            ("min_replicas", text) => {
                replicas = text.parse().map_err(|_| bad("min_replicas", text, "it is a number"))?;
            }
            ("replica_timeout", text) => {
                let limit = humantime::parse_duration(text)
                    .map_err(|error| bad("replica_timeout", text, &format!("{error}; write for example 500ms")))?;
                replica_limit = Some(limit);
            }
            _ => return Err(ConnectError::UnknownParameter { scheme, name, known: PARAMETERS }),
        }
    }
    if let Some((cert, key)) = identity(cert, key)? {
        tls = Some(tls.unwrap_or_default().with_client_files(cert, key));
    }
    if replica_limit.is_some() && replicas == 0 {
        return Err(invalid("\"replica_timeout\" needs \"min_replicas\""));
    }
    if let Some(tls) = tls {
        if scheme == "redis" {
            return Err(invalid("certificates are for TLS; write rediss://"));
        }
        builder = builder.with_tls(tls);
    }
    Ok(builder.with_min_replicas(replicas, replica_limit.unwrap_or(Duration::from_millis(500))))
}

/// Tells at once which parameter names a file that can't be read. Each connection reads it anew.
fn readable<'a>(scheme: &'static str, name: &'static str, file: &'a str) -> Result<&'a str, ConnectError> {
    read(scheme, name, file).map(|_| file)
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, ConnectError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid("after the scheme comes ://HOST"))?;
        let scheme = ["redis", "rediss", "redis+sentinel", "redis+cluster"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))
            .ok_or_else(|| invalid("its scheme isn't one of Redis"))?;
        no_login_behind_the_hosts(rest)?;
        if rest.contains('#') {
            return Err(invalid("it has a \"#\"; write it as %23"));
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = before.split_once('/').unwrap_or((before, ""));
        // A password should have its "@" encoded; one that hasn't is meant all the same.
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => (Some(decoded(user, "the user")?), Some(decoded(password, "the password")?)),
            None => (None, None),
        };
        let port = if scheme == "redis+sentinel" { 26_379 } else { 6_379 };
        let hosts = hosts.split(',').map(|host| address(host, port)).collect::<Result<_, _>>()?;
        // The password isn't in what is parsed, nor in what an error could repeat.
        let url = Url::parse(&format!("redis://host/?{query}")).map_err(|error| invalid(error.to_string()))?;
        let (user, password) = (user.filter(|user| !user.is_empty()), password.filter(|password| !password.is_empty()));
        Ok(Self { scheme, user, password, hosts, path, parameters: parameters(&url)? })
    }
}

/// `HOST`, `HOST:PORT`, `[::1]`, `[::1]:PORT`.
fn address(text: &str, default: u16) -> Result<(String, u16), ConnectError> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, port))) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
        Some(None) => return Err(invalid("a \"[\" has no \"]\"")),
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(invalid("an IPv6 address stands in brackets: redis://[::1]:6379"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(invalid("it names no host"));
    }
    let port = port.map_or(Ok(default), |port| number("the port", port))?;
    Ok((host.to_owned(), port))
}

fn number<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, ConnectError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // The text isn't repeated: in a URL that is written wrongly it may be the password.
    text.parse().ok().filter(|_| digits).ok_or_else(|| invalid(format!("{what} is not a number that can be")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Parts<'_> {
        Parts::of(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn urls_are_taken_apart() {
        let one = parts("redis://us%40er:p%3Ass%2Fw@[::1]:7000/3?prefix=a%26b");
        assert_eq!((one.user.as_deref(), one.password.as_deref()), (Some("us@er"), Some("p:ss/w")));
        assert_eq!(one.hosts, [("::1".to_owned(), 7000)]);
        assert_eq!((one.path, &one.parameters[0].1[..]), ("3", "a&b"));
        let many = parts("redis+sentinel://:secret@h1,h2:7/main");
        assert_eq!(many.hosts, [("h1".to_owned(), 26_379), ("h2".to_owned(), 7)]);
        assert_eq!((many.user, many.password.as_deref(), many.path), (None, Some("secret"), "main"));
        assert_eq!(parts("REDISS://h").hosts, [("h".to_owned(), 6_379)]);
    }

    #[tokio::test]
    async fn what_cannot_be_meant_is_refused_without_the_password() {
        for bad in [
            "redis:h",
            "redis://",
            "redis://u:secret@",
            "redis://u:secret@::1",
            "redis://u:secret@[::1",
            "redis://u:secret@h:0x1",
            "redis://u:secret@h:99999",
            "redis://u:secret@h/secret",
            "redis://u:secret@h1,h2",
            "redis://u:secret@h#x",
            "redis://u:12/secret@h",
            "redis://secret@h",
            "redis://u:secret@h?min_replicas=1&replica_timeout=1s",
            "redis://u:secret@h?database=1",
            "redis://u:12?secret@h/main",
            "redis://u:12?prefix=secret@h/main",
            "redis://u:12#secret@h",
            "redis+sentinel://u:12/secret@h/main",
            "redis+sentinel://u:12?secret@h/main",
            "redis+cluster://u:12/secret@h",
            "redis://u:secret@h?nothing=1",
            "redis://u:secret@h?ca=/etc/hostname",
            "rediss://u:secret@h?cert=/etc/hostname",
            "rediss://u:secret@h?ca=/no/such/file",
            "redis://u:secret@h?min_replicas=x",
            "redis://u:secret@h?min_replicas=1&replica_timeout=1",
            "redis://u:secret@h?replica_timeout=1s",
            "redis://u:secret@h?prefix=a&prefix=b",
            "redis://u:secret@h?prefix=%7B",
            "redis+sentinel://u:secret@h",
            "redis+cluster://u:secret@h/1",
        ] {
            let error = open(bad).await.err().unwrap_or_else(|| panic!("{bad} was taken"));
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{bad}: {text}");
            assert!(
                !matches!(error, ConnectError::Backend(ref inner) if inner.kind() == lock_core::ErrorKind::Unavailable),
                "{bad}: {text}"
            );
        }
    }
}

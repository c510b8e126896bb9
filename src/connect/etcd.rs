//! `etcd:`: etcd, one endpoint or several.

use std::sync::Arc;

use lock_core::Store;
use lock_etcd::{EtcdBackend, EtcdBackendBuilder};
use url::Url;

use super::invalid;
use super::network::{decoded, identity, no_login_behind_the_hosts, read};
use super::parameters::{bad_value, parameters};
use crate::ConnectError;

/// What can be written.
pub(super) const KNOWN: &str = "\"etcd://HOST:2379,HOST:2379\" and \"etcds://\" (with TLS)";

/// Makes the backend; it connects when it is first asked. Certificates are read from their files now.
pub(super) fn open(text: &str) -> Result<Arc<dyn Store>, ConnectError> {
    Ok(Arc::new(builder(text)?.build()?))
}

/// What the URL says.
///
/// Errors repeat no part of the text in front of the hosts: that is where a password is.
pub(super) fn builder(text: &str) -> Result<EtcdBackendBuilder, ConnectError> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid("after the scheme come // and the hosts"))?;
    let (scheme, tls) = if scheme.eq_ignore_ascii_case("etcds") { ("etcds", true) } else { ("etcd", false) };
    no_login_behind_the_hosts(rest)?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    // Several hosts with ports are more than a URL's parser takes.
    let url = Url::parse(&format!("{scheme}://host{tail}")).map_err(|error| invalid(error.to_string()))?;
    if url.fragment().is_some() {
        return Err(invalid("it has a \"#\"; in a password or a prefix write it as %23"));
    }
    if !matches!(url.path(), "" | "/") {
        return Err(invalid(
            "after the hosts comes no path: a namespace is ?prefix=NAME/, and a \"/\" in a password is %2F",
        ));
    }
    let mut builder = EtcdBackend::builder(endpoints(hosts)?);
    if tls {
        builder = builder.with_tls();
    }
    if let Some(user) = user {
        let pair = user.split_once(':');
        let (name, password) = pair.ok_or_else(|| invalid("a user comes with a password: USER:PASSWORD@HOST"))?;
        builder = builder.with_user(decoded(name, "the user")?, decoded(password, "the password")?);
    }
    let (mut certificate, mut key) = (None, None);
    for (name, value) in parameters(&url)? {
        match (&*name, &*value) {
            ("prefix", prefix) => builder = builder.with_prefix(prefix),
            ("ca" | "cert" | "key", _) if !tls => {
                return Err(invalid(format!("\"{name}\" needs TLS: write etcds:// instead of etcd://")));
            }
            ("ca", file) => builder = builder.with_ca(read(scheme, "ca", file)?),
            ("cert", file) => certificate = Some(read(scheme, "cert", file)?),
            ("key", file) => key = Some(read(scheme, "key", file)?),
            ("leases", "shared") => builder = builder.with_shared_leases(),
            ("leases", _) => return Err(bad_value(scheme, "leases", &value, "the only value is \"shared\"")),
            _ => {
                let known = "\"prefix\", \"leases\", and with TLS \"ca\", \"cert\" and \"key\"";
                return Err(ConnectError::UnknownParameter { scheme, name, known });
            }
        }
    }
    if let Some((certificate, key)) = identity(certificate, key)? {
        builder = builder.with_identity(certificate, key);
    }
    Ok(builder)
}

fn endpoints(hosts: &str) -> Result<Vec<String>, ConnectError> {
    let endpoint = |host: &str| {
        if host.is_empty() {
            return Err(invalid("it names no host; an endpoint is HOST:2379"));
        }
        // An IPv6 address has colons of its own, in brackets.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        Ok(if has_port { host.to_owned() } else { format!("{host}:2379") })
    };
    hosts.split(',').map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_hosts_users_and_certificates() {
        for good in [
            "etcd://h",
            "etcd://h1:2379,h2:2379,h3",
            "ETCD://10.0.0.1:1/?prefix=app/",
            "etcd://[::1]:2379,[::1]",
            "etcd://u:p%40ss@h:2379?leases=shared",
            "etcds://h:2379",
        ] {
            assert!(open(good).is_ok(), "{good}: {:?}", open(good).err());
        }
        assert_eq!(endpoints("[::1],h").unwrap(), ["[::1]:2379", "h:2379"]);
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_and_repeats_no_password() {
        for (bad, why) in [
            ("etcd:h", "//"),
            ("etcd://", "no host"),
            ("etcd://u:secret@", "no host"),
            ("etcd://secret@h", "password"),
            ("etcd://u:secret@h/path", "no path"),
            ("etcd://u:12/secret@h", "%2F"),
            ("etcd://u:12?secret@h", "%3F"),
            ("etcd://u:12?prefix=secret@h/x", "%40"),
            ("etcd://u:secret@h?ca=/x", "etcds://"),
            ("etcds://u:secret@h?ca=/no/such/file", "can't be read"),
            ("etcds://u:secret@h?cert=Cargo.toml", "together"),
            ("etcd://u:secret@h?prefixes=x", "no parameter"),
            ("etcd://u:secret@h?leases=own", "shared"),
            ("etcd://u:secret@h o s t", "HOST:2379"),
            ("etcd://u:12#secret@h", "%23"),
        ] {
            let error = open(bad).err().unwrap_or_else(|| panic!("{bad} is taken"));
            let (shown, debugged) = (error.to_string(), format!("{error:?}"));
            assert!(shown.contains(why), "{bad}: {shown}");
            assert!(!shown.contains("secret") && !debugged.contains("secret"), "{bad}: {debugged}");
        }
    }
}

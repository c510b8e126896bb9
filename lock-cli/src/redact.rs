//! Keeping passwords out of what is said, and out of what is passed on.

use std::fmt::Display;

use distlock::LockKey;
use url::form_urlencoded;

/// What stands in a password's place.
const HIDDEN: &str = "***";

/// What a URL becomes that can't be read: no store has this scheme, so nobody uses it by mistake.
const UNREADABLE: &str = "redacted:";

/// Parameters of a URL that are secrets.
const SECRET_PARAMETERS: [&str; 3] = ["token", "password", "secret"];

/// `text` without the user information and the secret parameters of every URL in it.
///
/// For texts of any origin: a mistyped option, a driver's error, a log line. It hides rather too
/// much than too little.
pub(crate) fn text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c)).unwrap_or(after.len());
        let (url, others) = after.split_at(end);
        // The last "@", since a password may contain one.
        let host = url.rfind('@').map_or(url, |at| {
            clean.push_str(HIDDEN);
            &url[at..]
        });
        clean.push_str(host);
        rest = others;
    }
    clean.push_str(rest);
    SECRET_PARAMETERS.iter().fold(clean, |text, name| without_parameter(&text, name))
}

/// As [`text`], an error about a lock, whose name stays as it is where it stands in quotes: it may
/// look like a URL with a password, and changed it would name another lock.
pub(crate) fn about(key: Option<&LockKey>, error: &impl Display) -> String {
    let error = error.to_string();
    let Some(name) = key.map(|key| format!("\"{key}\"")) else { return text(&error) };
    let mut clean = String::with_capacity(error.len());
    let mut rest = error.as_str();
    while let Some((before, after)) = rest.split_once(&name) {
        // No further than the first URL: its password may look like the name.
        if before.contains("://") {
            break;
        }
        clean.push_str(&text(before));
        clean.push_str(&name);
        rest = after;
    }
    clean + &text(rest)
}

fn without_parameter(text: &str, name: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(&format!("{name}=")) {
        let (before, after) = rest.split_at(at + name.len() + 1);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "&\"'`#".contains(c)).unwrap_or(after.len());
        // Only in a URL: "--if-token=17" is no secret.
        let in_url = before[..at].ends_with(['?', '&']);
        clean.push_str(if in_url && end > 0 { HIDDEN } else { &after[..end] });
        rest = &after[end..];
    }
    clean + rest
}

/// A store's URL as the command may know it: without password and secret parameters. A command
/// that uses it then is refused by the store, which is better than to be led to another store.
///
/// It works on the text: a URL may be odd, or name several hosts, and keep a secret all the same.
pub(crate) fn url(secret: &str) -> String {
    let Some((scheme, rest)) = secret.split_once("://") else {
        // "file:?prefix=a@b" names no user.
        let harmless = secret.starts_with("file:") || !secret.contains('@');
        return if harmless { secret.to_owned() } else { UNREADABLE.to_owned() };
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password with a "/" ends the authority early: what looks like a port isn't one.
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    if !authority.contains('@') && path.contains('@') && !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return UNREADABLE.to_owned();
    }
    let authority = match authority.rsplit_once('@').map(|(user, host)| (user.split(':').next(), host)) {
        Some((Some("") | None, host)) => host.to_owned(),
        Some((Some(name), host)) => format!("{name}@{host}"),
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{}", without_secret_parameters(path))
}

fn without_secret_parameters(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let is_kept = |pair: &&str| {
        // As whoever opens the URL reads it: "t%6fken" is a token, too.
        let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned());
        name.is_none_or(|name| !SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)))
    };
    let kept: Vec<_> = query.split('&').filter(is_kept).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_70_texts_lose_every_password() {
        for (said, clean) in [
            ("can't use redis://u:hunter2@h:1/0", "can't use redis://***@h:1/0"),
            ("'x://u:hun@ter2@h' and y://:hunter2@h", "'x://***@h' and y://***@h"),
            ("redis://u:hun/ter2@h", "redis://***@h"),
            ("consul://h?prefix=a&token=hunter2&ca=b", "consul://h?prefix=a&token=***&ca=b"),
            ("consul://h?TOKEN=hunter2'", "consul://h?TOKEN=***'"),
            ("break --if-token=17 a@b", "break --if-token=17 a@b"),
            ("http://", "http://"),
        ] {
            assert_eq!(text(said), clean);
        }
    }

    #[test]
    fn fault_70_errors_lose_every_password_and_keep_the_name() {
        let key = LockKey::new("x://a@b?token=c").unwrap();
        for (said, clean) in [
            (r#"renewing "x://a@b?token=c": y://u:hunter2@h"#, r#"renewing "x://a@b?token=c": y://***@h"#),
            (r#""x://a@b?token=c" and "x://a@b?token=c""#, r#""x://a@b?token=c" and "x://a@b?token=c""#),
            (r#"y://u:hunter2@h "x://a@b?token=c""#, r#"y://***@h "x://***@b?token=***""#),
            ("x://a@b?token=c", "x://***@b?token=***"),
        ] {
            assert_eq!(about(Some(&key), &said), clean);
        }
        // Not even a password that has the name in it is torn apart.
        let key = LockKey::new("u").unwrap();
        assert_eq!(about(Some(&key), &"y://u:hunter2@h"), "y://***@h");
        assert_eq!(about(None, &"y://u:hunter2@h"), "y://***@h");
    }

    #[test]
    fn fault_70_urls_lose_every_password() {
        for (secret, clean) in [
            ("file:", "file:"),
            ("file:///a b", "file:///a b"),
            ("redis://h1:1,h2:2", "redis://h1:1,h2:2"),
            ("redis://u:hunter2@h:1/0?prefix=a", "redis://u@h:1/0?prefix=a"),
            ("redis://:hunter2@h", "redis://h"),
            ("consul://h?prefix=a&Token=hunter2", "consul://h?prefix=a"),
            ("consul://h?token=hunter2", "consul://h"),
            ("u:hunter2@h", "redacted:"),
            ("etcd://u:hunter2@h1:1,h2:2?prefix=a", "etcd://u@h1:1,h2:2?prefix=a"),
            ("redis://u:hun@ter2@h", "redis://u@h"),
            ("redis://u:hun/ter2@h", "redacted:"),
            ("consul://h?t%6Fken=hunter2", "consul://h"),
            ("file:///a?prefix=b@c", "file:///a?prefix=b@c"),
        ] {
            assert_eq!(url(secret), clean, "{secret}");
        }
    }
}

//! What was asked for: options first, then the environment, then the defaults.

use std::ffi::OsStr;
use std::time::Duration;

use distlock::{LockKey, Ttl};

use crate::args::StoreArgs;
use crate::exit::Failure;
use crate::output::plain;
use crate::redact;

/// The variables that options have.
pub(crate) const URL: &str = "DISTLOCK_URL";
const TTL: &str = "DISTLOCK_TTL";
const WAIT: &str = "DISTLOCK_WAIT";

/// The embedded default: a directory on this host, with nothing to install.
const DEFAULT_URL: &str = "file:";

/// How long to wait for a lock that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Not,
    AtMost(Duration),
    ForEver,
}

/// The store's URL.
pub(crate) fn url(args: &StoreArgs) -> Result<String, Failure> {
    match &args.url {
        Some(url) => Ok(url.clone()),
        None => Ok(variable(URL)?.unwrap_or_else(|| DEFAULT_URL.to_owned())),
    }
}

/// The TTL to ask for.
pub(crate) fn ttl(option: Option<Duration>) -> Result<Ttl, Failure> {
    match option.map_or_else(|| duration(TTL), |ttl| Ok(Some(ttl)))? {
        Some(ttl) => Ok(Ttl::new(ttl)?),
        None => Ok(Ttl::default()),
    }
}

/// How long to wait.
pub(crate) fn wait(option: Option<Duration>, no_wait: bool) -> Result<Wait, Failure> {
    if no_wait {
        return Ok(Wait::Not);
    }
    Ok(match option.map_or_else(|| duration(WAIT), |wait| Ok(Some(wait)))? {
        Some(Duration::ZERO) => Wait::Not,
        Some(limit) => Wait::AtMost(limit),
        None => Wait::ForEver,
    })
}

/// A lock's key.
pub(crate) fn key(argument: &OsStr) -> Result<LockKey, Failure> {
    Ok(LockKey::new(utf8("key", argument)?)?)
}

/// An argument that must be text.
pub(crate) fn utf8<'a>(name: &str, argument: &'a OsStr) -> Result<&'a str, Failure> {
    argument.to_str().ok_or_else(|| {
        let shown = plain(&argument.to_string_lossy());
        Failure::usage(format!(
            "the {name} \"{shown}\" is not valid UTF-8; every store and every client must read it alike"
        ))
    })
}

/// An environment variable; `None` when it is unset or empty.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var_os(name).filter(|value| !value.is_empty()).map(std::ffi::OsString::into_string) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(Failure::usage(format!(
            "the environment variable {name} is not valid Unicode; unset it or set it anew"
        ))),
    }
}

fn duration(name: &str) -> Result<Option<Duration>, Failure> {
    let Some(text) = variable(name)? else { return Ok(None) };
    humantime::parse_duration(&text).map(Some).map_err(|error| {
        let text = redact::text(&plain(&text));
        Failure::usage(format!(
            "the environment variable {name} is not a duration such as 15s or 2m: \"{text}\": {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wait of no length would end before a store at a distance has answered at all.
    #[test]
    fn waiting_for_no_time_is_one_try() {
        assert_eq!(wait(Some(Duration::ZERO), false).unwrap(), Wait::Not);
        let long = Duration::from_secs(9);
        assert_eq!(wait(Some(long), false).unwrap(), Wait::AtMost(long));
        assert_eq!(wait(Some(long), true).unwrap(), Wait::Not);
    }
}

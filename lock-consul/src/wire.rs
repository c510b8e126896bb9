//! What is sent and what comes back, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// The flags of a key that `consul lock` and every client of Consul's own lock protocol sets.
pub(crate) const LOCK_FLAGS: u64 = 0x2ddc_cbc0_58a5_0c18;

/// A key as Consul tells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) flags: u64,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    session: Option<String>,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
}

impl Entry {
    /// A key that was found like this.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn found(key: &str, value: &[u8], flags: u64, session: Option<&str>) -> Self {
        let (value, session) = (Some(BASE64.encode(value)), session.map(str::to_owned));
        Self { key: key.to_owned(), flags, value, session, create_index: 1, modify_index: 1 }
    }

    /// The session that holds it.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref().filter(|session| !session.is_empty())
    }

    /// Its value; empty when it has none.
    pub(crate) fn value(&self) -> Vec<u8> {
        self.value.as_deref().and_then(|text| BASE64.decode(text).ok()).unwrap_or_default()
    }

    pub(crate) fn has_value(&self) -> bool {
        self.value.as_deref().is_some_and(|value| !value.is_empty())
    }
}

/// One step of a transaction. All of a transaction's steps are taken, or none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Step<'a> {
    verb: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
}

impl<'a> Step<'a> {
    fn of(verb: &'static str, key: &'a str) -> Self {
        Self { verb, key, value: None, flags: None, session: None, index: None }
    }

    /// Takes a key for a session, and writes a value.
    pub(crate) fn lock(key: &'a str, session: &'a str, value: &[u8]) -> Self {
        let value = Some(BASE64.encode(value));
        Self { value, flags: Some(LOCK_FLAGS), session: Some(session), ..Self::of("lock", key) }
    }

    /// Frees a key that the session holds, and empties it.
    pub(crate) fn unlock(key: &'a str, session: &'a str) -> Self {
        let value = Some(String::new());
        Self { value, flags: Some(LOCK_FLAGS), session: Some(session), ..Self::of("unlock", key) }
    }

    /// Goes on only if nobody wrote to the key since.
    pub(crate) fn unchanged(key: &'a str, index: u64) -> Self {
        Self { index: Some(index), ..Self::of("check-index", key) }
    }

    /// Goes on only if there is no such key.
    pub(crate) fn absent(key: &'a str) -> Self {
        Self::of("check-not-exists", key)
    }

    pub(crate) fn delete(key: &'a str) -> Self {
        Self::of("delete", key)
    }

    pub(crate) fn delete_unchanged(key: &'a str, index: u64) -> Self {
        Self { index: Some(index), ..Self::of("delete-cas", key) }
    }

    /// Reads every key that begins with `prefix`; none is no failure.
    pub(crate) fn read_all(prefix: &'a str) -> Self {
        Self::of("get-tree", prefix)
    }
}

/// A step as a transaction has it.
#[derive(Serialize)]
pub(crate) struct Wrapped<'s, 'a> {
    #[serde(rename = "KV")]
    pub(crate) step: &'s Step<'a>,
}

/// What Consul answers to a transaction.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TxnReply {
    #[serde(default)]
    pub(crate) results: Option<Vec<TxnResult>>,
    #[serde(default)]
    pub(crate) errors: Option<Vec<TxnError>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TxnResult {
    #[serde(rename = "KV")]
    pub(crate) entry: Option<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TxnError {
    pub(crate) what: String,
}

/// A session to be created.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NewSession {
    pub(crate) name: String,
    /// The node that it belongs to; the agent's own when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    #[serde(rename = "TTL")]
    pub(crate) ttl: String,
    pub(crate) behavior: &'static str,
    pub(crate) lock_delay: String,
    /// None: by default the agent's own health check ends sessions, and one blip of it would end all locks.
    pub(crate) node_checks: [&'static str; 0],
}

#[derive(Debug, Deserialize)]
pub(crate) struct CreatedSession {
    #[serde(rename = "ID")]
    pub(crate) id: String,
}

//! A lock's value: one line of JSON that people can read, and that the scripts take apart at its first fields.
//!
//! ```text
//! {"token":1790000000000000,"owner":"0f…","at":1790000000000000,"wake":"distlock:@…","key":"deploy","host":"web-1",…}
//! ```
//! The server writes the token, the owner, and when the lock was granted (Unix time in microseconds), the client the rest:
//! its *body*.

use std::time::{Duration, SystemTime};

use lock_core::{AcquireRequest, FencingToken, LockKey, LockRecord, OwnerId, Ttl};
use serde::{Deserialize, Serialize};

/// What a client says of itself. `wake` stands first: the script that breaks a lock looks for it there.
#[derive(Serialize)]
struct Body<'a> {
    wake: &'a str,
    key: &'a str,
    host: &'a str,
    pid: u32,
    program: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    ttl_ms: u64,
}

/// A value of ours, as far as it can be read.
#[derive(Debug, Deserialize)]
struct Value {
    token: u64,
    owner: String,
    at: Option<u64>,
    host: Option<String>,
    pid: Option<u32>,
    program: Option<String>,
    label: Option<String>,
    ttl_ms: Option<u64>,
}

/// The body of a request's record, without its opening brace. `wake` is the channel on which the holder listens.
pub(crate) fn body(request: &AcquireRequest, wake: &str) -> String {
    let holder = request.holder();
    let body = Body {
        wake,
        key: request.key().as_str(),
        host: holder.host(),
        pid: holder.pid(),
        program: holder.program(),
        label: holder.label(),
        ttl_ms: request.ttl().as_millis(),
    };
    let mut text = serde_json::to_string(&body).expect("strings and numbers always become JSON");
    text.remove(0);
    text
}

/// What a lock's value says of its holder; a foreign value says nothing. `left_ms` is PTTL's answer.
pub(crate) fn describe(key: &LockKey, name: &str, value: &[u8], left_ms: i64) -> LockRecord {
    let record = LockRecord::unknown(key.clone()).with_location(name);
    // Negative: it has no expiry.
    let left = u64::try_from(left_ms).ok().map(Duration::from_millis);
    let parsed = serde_json::from_slice::<Value>(value).ok();
    let Some((value, owner)) = parsed.and_then(|value| value.owner.parse().ok().map(|owner: OwnerId| (value, owner)))
    else {
        return match left {
            Some(left) => record.with_expires_in(left),
            None => record,
        };
    };
    let record = record.with_grant(owner, FencingToken::new(value.token));
    let record = record.with_description(value.host, value.pid, value.program, value.label);
    let at = value.at.and_then(|at| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(at)));
    let record = match at {
        Some(at) => record.with_acquired_at(at),
        None => record,
    };
    match (value.ttl_ms.and_then(|ms| Ttl::new(Duration::from_millis(ms)).ok()), left) {
        (Some(ttl), left) => record.with_lease(ttl, left),
        (None, Some(left)) => record.with_expires_in(left),
        (None, None) => record,
    }
}

/// Whether a value was written by a client of ours.
pub(crate) fn is_ours(value: &[u8]) -> bool {
    serde_json::from_slice::<Value>(value).is_ok_and(|value| value.owner.parse::<OwnerId>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_text_and_a_foreign_value_says_nothing() {
        let key = LockKey::new("a\n\"b\"").unwrap();
        let request = AcquireRequest::new(key.clone(), Ttl::default());
        let body = body(&request, "p:@c");
        let value = format!(r#"{{"token":17,"owner":"{}","at":1790000000000000,{body}"#, request.owner());
        let record = describe(&key, "n", value.as_bytes(), 1_500);
        assert_eq!(record.token(), Some(FencingToken::new(17)));
        assert_eq!((record.owner(), record.pid()), (Some(request.owner()), Some(std::process::id())));
        assert_eq!(record.expires_in(), Some(Duration::from_millis(1_500)));
        let at = record.acquired_at().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(at, Duration::from_secs(1_790_000_000));
        for foreign in ["", "x", "{}", r#"{"token":1,"owner":"me"}"#, "\u{ff}"] {
            assert!(!is_ours(foreign.as_bytes()));
            let record = describe(&key, "n", foreign.as_bytes(), -1);
            assert_eq!(record, LockRecord::unknown(key.clone()).with_location("n"));
        }
    }
}

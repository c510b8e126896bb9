//! The calls to Consul's HTTP API: as many as a lock needs, each with its own time limit.

use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Operation};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::{from_status, from_transport, nonsense, timed_out};
use crate::wire::{CreatedSession, Entry, NewSession, Step, TxnReply, Wrapped};

/// Requests under way at once, besides the watches: each is a connection to the agent, which allows 200 a client.
const CALLS_AT_ONCE: usize = 5;
/// Of these for acquiring and waiting: a crowd of waiters keeps no renewal and no release from a connection.
const NEWCOMERS_AT_ONCE: usize = 4;
/// How many times the limit of a call it may wait for its turn.
const PATIENCE: u32 = 20;

/// What a path keeps as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-').remove(b'/');

/// One agent.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) http: reqwest::Client,
    /// Where transactions go: most requests do, and parsing a URL costs some microseconds.
    pub(crate) txn: reqwest::Url,
    /// Scheme, host and port.
    pub(crate) base: String,
    /// The query that names the datacenter; empty for the agent's own.
    pub(crate) datacenter: String,
    /// For each call but a watch.
    pub(crate) limit: Duration,
    pub(crate) turns: Turns,
}

/// Who may send.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Semaphore,
    newcomers: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Semaphore::new(CALLS_AT_ONCE), newcomers: Semaphore::new(NEWCOMERS_AT_ONCE) }
    }
}

/// A reply that isn't an error.
struct Reply {
    status: StatusCode,
    index: Option<u64>,
    body: Vec<u8>,
}

/// What a transaction came to.
#[derive(Debug)]
pub(crate) enum Txn {
    /// All steps were taken; the keys that they read or wrote, in order.
    Done(Vec<Entry>),
    /// None was.
    Refused(Refusal),
}

/// Why a transaction was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A key isn't as it was expected to be.
    Changed,
    /// Somebody else's session has the key.
    Held,
    /// The key is free, and kept shut for a while since its holder's session ended without a release.
    LockDelay,
    /// There is no such session (any more).
    NoSession,
}

/// The keys below a prefix, and the index at which they are so.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    pub(crate) index: u64,
}

impl Api {
    /// Takes all steps or none. At most 64 are allowed.
    pub(crate) async fn txn(&self, operation: Operation, steps: &[Step<'_>]) -> Result<Txn, BackendError> {
        let steps: Vec<_> = steps.iter().map(|step| Wrapped { step }).collect();
        let request = self.http.put(self.txn.clone()).json(&steps);
        let reply = self.send(operation, request, &[StatusCode::CONFLICT]).await?;
        let answer: TxnReply = parse(operation, &reply)?;
        if reply.status != StatusCode::CONFLICT {
            return Ok(Txn::Done(answer.results.unwrap_or_default().into_iter().filter_map(|r| r.entry).collect()));
        }
        let what = answer.errors.and_then(|errors| errors.into_iter().next()).map(|error| error.what);
        let what = what.unwrap_or_default();
        refusal(&what).map(Txn::Refused).ok_or_else(|| match &what {
            what if what.contains("Permission denied") => from_status(operation, 403, what.as_bytes()),
            what => BackendError::new(ErrorKind::Protocol, operation, format!("Consul refused: {what}")),
        })
    }

    /// Every key that begins with `prefix`, as the leader has them.
    pub(crate) async fn list(&self, operation: Operation, prefix: &str) -> Result<Listing, BackendError> {
        let request = self.request(Method::GET, &kv(prefix), "recurse&consistent");
        listing(operation, &self.send(operation, request, &[StatusCode::NOT_FOUND]).await?)
    }

    /// The names of the keys that begin with `prefix`.
    pub(crate) async fn names(&self, operation: Operation, prefix: &str) -> Result<Vec<String>, BackendError> {
        let request = self.request(Method::GET, &kv(prefix), "keys&consistent");
        let reply = self.send(operation, request, &[StatusCode::NOT_FOUND]).await?;
        if reply.status == StatusCode::NOT_FOUND { Ok(Vec::new()) } else { parse(operation, &reply) }
    }

    /// One key, as the leader has it.
    pub(crate) async fn read(&self, operation: Operation, key: &str) -> Result<Option<Entry>, BackendError> {
        let request = self.request(Method::GET, &kv(key), "consistent");
        Ok(listing(operation, &self.send(operation, request, &[StatusCode::NOT_FOUND]).await?)?.entries.pop())
    }

    /// Every key that begins with `prefix`, as soon as anything there is newer than `index`, or after `wait`.
    pub(crate) async fn watch(&self, prefix: &str, index: u64, wait: Duration) -> Result<Listing, BackendError> {
        let query = format!("recurse&index={index}&wait={}ms", wait.as_millis());
        let request = self.request(Method::GET, &kv(prefix), &query);
        // Consul adds up to a sixteenth, so that not all come back at once.
        let limit = wait + wait / 16 + self.limit;
        let reply = timeout(limit, self.send_now(Operation::Wait, request, &[StatusCode::NOT_FOUND])).await;
        listing(Operation::Wait, &reply.unwrap_or_else(|_| Err(timed_out(Operation::Wait, &self.base, limit, true)))?)
    }

    pub(crate) async fn create_session(
        &self,
        operation: Operation,
        session: &NewSession<'_>,
    ) -> Result<String, BackendError> {
        let request = self.request(Method::PUT, "/v1/session/create", "").json(session);
        let created: CreatedSession = parse(operation, &self.send(operation, request, &[]).await?)?;
        Ok(created.id)
    }

    /// False when there is no such session.
    pub(crate) async fn renew_session(&self, operation: Operation, id: &str) -> Result<bool, BackendError> {
        let request = self.request(Method::PUT, &format!("/v1/session/renew/{id}"), "");
        Ok(self.send(operation, request, &[StatusCode::NOT_FOUND]).await?.status != StatusCode::NOT_FOUND)
    }

    /// Ends a session and frees what it holds. One that is gone is no error.
    pub(crate) async fn destroy_session(&self, operation: Operation, id: &str) -> Result<(), BackendError> {
        let request = self.request(Method::PUT, &format!("/v1/session/destroy/{id}"), "");
        self.send(operation, request, &[StatusCode::NOT_FOUND]).await.map(drop)
    }

    /// Any other question, for checks of the agent.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, BackendError> {
        let request = self.request(Method::GET, path, "");
        parse(Operation::Preflight, &self.send(Operation::Preflight, request, &[]).await?)
    }

    fn request(&self, method: Method, path: &str, query: &str) -> RequestBuilder {
        let (base, datacenter) = (&self.base, &self.datacenter);
        let join = if query.is_empty() || datacenter.is_empty() { "" } else { "&" };
        self.http.request(method, format!("{base}{path}?{query}{join}{datacenter}"))
    }

    /// Sends, when it is this request's turn, within the limit.
    async fn send(
        &self,
        operation: Operation,
        request: RequestBuilder,
        good: &[StatusCode],
    ) -> Result<Reply, BackendError> {
        let turn = async {
            // The semaphores are never closed; were they, the agent's own limit would be left.
            let newcomer = matches!(operation, Operation::Acquire | Operation::Wait);
            let first = if newcomer { self.turns.newcomers.acquire().await.ok() } else { None };
            (first, self.turns.all.acquire().await.ok())
        };
        let patience = self.limit * PATIENCE;
        let turn = timeout(patience, turn).await;
        let _turn = turn.map_err(|_| timed_out(operation, &self.base, patience, false))?;
        let answer = timeout(self.limit, self.send_now(operation, request, good)).await;
        answer.unwrap_or_else(|_| Err(timed_out(operation, &self.base, self.limit, true)))
    }

    /// Success is a status of 200, or one of `good`.
    async fn send_now(
        &self,
        operation: Operation,
        request: RequestBuilder,
        good: &[StatusCode],
    ) -> Result<Reply, BackendError> {
        let broken = |error| from_transport(operation, &self.base, error);
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        let index = response.headers().get("x-consul-index").and_then(|index| index.to_str().ok()?.parse().ok());
        let body = response.bytes().await.map_err(broken)?;
        if status == StatusCode::OK || good.contains(&status) {
            return Ok(Reply { status, index, body: body.into() });
        }
        Err(from_status(operation, status.as_u16(), &body))
    }
}

fn kv(key: &str) -> String {
    format!("/v1/kv/{}", utf8_percent_encode(key, PATH))
}

fn listing(operation: Operation, reply: &Reply) -> Result<Listing, BackendError> {
    let index = reply.index.ok_or_else(|| nonsense(operation, "it has no X-Consul-Index"))?;
    let entries = if reply.status == StatusCode::NOT_FOUND { Vec::new() } else { parse(operation, reply)? };
    Ok(Listing { entries, index })
}

fn parse<T: DeserializeOwned>(operation: Operation, reply: &Reply) -> Result<T, BackendError> {
    serde_json::from_slice(&reply.body).map_err(|error| nonsense(operation, error))
}

/// By its words: the API has no codes for them.
fn refusal(what: &str) -> Option<Refusal> {
    let says = |words: &str| what.contains(words);
    if says("lock delay") || says("lock-delay") {
        Some(Refusal::LockDelay)
    } else if says("invalid session") || says("session lookup") {
        Some(Refusal::NoSession)
    } else if says("already held") || says("isn't held") {
        Some(Refusal::Held)
    } else if says("index check") || says("check index") || says("session check") || says("exists") || says("exist") {
        Some(Refusal::Changed)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_the_words_that_consul_used() {
        for (what, expected) in [
            (r#"failed to lock key "a/.lock", lock is already held"#, Some(Refusal::Held)),
            (r#"failed to unlock key "a/.lock", lock isn't held, or is held by another session"#, Some(Refusal::Held)),
            (r#"failed to lock key "a/.lock" due to lock delay"#, Some(Refusal::LockDelay)),
            (r#"invalid session "872fa167-2f3a-5a17-77e8-2ac9ebeb5bca""#, Some(Refusal::NoSession)),
            (r#"key "a/.lock" exists"#, Some(Refusal::Changed)),
            (r#"failed to check index, key "a/.lock" doesn't exist"#, Some(Refusal::Changed)),
            (r#"failed index check for key "a/.lock", current modify index 31 != 1"#, Some(Refusal::Changed)),
            ("Permission denied", None),
        ] {
            assert_eq!(refusal(what), expected, "{what}");
        }
    }

    #[test]
    fn a_key_is_one_path_however_strange() {
        assert_eq!(kv("a%2Fb/.lock"), "/v1/kv/a%252Fb/.lock");
        assert_eq!(kv("pré fix?/x#/.lock"), "/v1/kv/pr%C3%A9%20fix%3F/x%23/.lock");
    }
}

//! The calls to Consul's HTTP API: as many as a lock needs, each with its own time limit.

use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Operation};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::datacenter::Datacenter;
use crate::error::{from_status, from_transport, no_turn, nonsense, timed_out};
use crate::finishing::Finishing;
use crate::refusal::{Refusal, refusal};
use crate::turns::Turns;
use crate::wire::{Entry, Step, TxnReply, Wrapped};

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
    pub(crate) datacenter: Datacenter,
    /// For each call but a watch.
    pub(crate) limit: Duration,
    pub(crate) turns: Turns,
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
            what => BackendError::new(ErrorKind::Protocol, operation, format!("Consul refused: {what}"))
                .with_advice("Distlock doesn't know these words of Consul: report them, with the agent's version"),
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
        let answer = timeout(limit, exchange(request)).await;
        let answer = answer.map_err(|_| timed_out(Operation::Wait, &self.base, limit))?;
        listing(Operation::Wait, &self.judge(Operation::Wait, answer, &[StatusCode::NOT_FOUND])?)
    }

    /// False when there is no such session.
    pub(crate) async fn renew_session(&self, operation: Operation, id: &str) -> Result<bool, BackendError> {
        let request = self.request(Method::PUT, &format!("/v1/session/renew/{id}"), "");
        let reply = self.send(operation, request, &[StatusCode::NOT_FOUND]).await?;
        if reply.status != StatusCode::NOT_FOUND {
            return Ok(true);
        }
        // Somebody else's "no such page" must not become a loss.
        let said = String::from_utf8_lossy(&reply.body);
        if said.contains("Session id") { Ok(false) } else { Err(from_status(operation, 404, &reply.body)) }
    }

    /// Ends a session and frees what it holds. One that is gone is no error.
    pub(crate) async fn destroy_session(&self, operation: Operation, id: &str) -> Result<(), BackendError> {
        let request = self.request(Method::PUT, &format!("/v1/session/destroy/{id}"), "");
        self.send(operation, request, &[StatusCode::NOT_FOUND]).await.map(drop)
    }

    /// Any other question.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, operation: Operation, path: &str) -> Result<T, BackendError> {
        let request = self.request(Method::GET, path, "");
        parse(operation, &self.send(operation, request, &[]).await?)
    }

    /// The same, with something to be told.
    pub(crate) async fn tell<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, BackendError> {
        let request = self.request(Method::PUT, path, "").json(body);
        parse(operation, &self.send(operation, request, &[]).await?)
    }

    fn request(&self, method: Method, path: &str, query: &str) -> RequestBuilder {
        let (base, datacenter) = (&self.base, &self.datacenter.query);
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
        let turn = if let Some(turn) = self.turns.at_once(operation) {
            turn
        } else {
            let patience = self.limit * PATIENCE;
            let turn = timeout(patience, self.turns.in_order(operation)).await;
            turn.map_err(|_| no_turn(operation, &self.base, patience))?
        };
        let exchange = timeout(self.limit, async move {
            let _turn = turn;
            exchange(request).await
        });
        let answer = Finishing::new(exchange).await;
        let answer = answer.map_err(|_| timed_out(operation, &self.base, self.limit))?;
        self.judge(operation, answer, good)
    }

    /// Success is a status of 200, or one of `good`.
    fn judge(
        &self,
        operation: Operation,
        answer: reqwest::Result<Reply>,
        good: &[StatusCode],
    ) -> Result<Reply, BackendError> {
        let reply = answer.map_err(|error| from_transport(operation, &self.base, error))?;
        if reply.status == StatusCode::OK || good.contains(&reply.status) {
            return Ok(reply);
        }
        Err(from_status(operation, reply.status.as_u16(), &reply.body))
    }
}

async fn exchange(request: RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let status = response.status();
    let index = response.headers().get("x-consul-index").and_then(|index| index.to_str().ok()?.parse().ok());
    Ok(Reply { status, index, body: response.bytes().await?.into() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_path_however_strange() {
        assert_eq!(kv("a%2Fb/.lock"), "/v1/kv/a%252Fb/.lock");
        assert_eq!(kv("pré fix?/x#/.lock"), "/v1/kv/pr%C3%A9%20fix%3F/x%23/.lock");
    }
}

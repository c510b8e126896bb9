//! The plain recipe: a session, and everybody who waits has a blocking query on the lock's key.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Client as Http;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::floor::{AT_ONCE, base, client};
use crate::contest::{Client, Contestant, Held, Kind, Lack, Role, Way};

pub(crate) fn plain() -> Contestant {
    Contestant {
        name: "session + blocking query",
        role: Role::Peer,
        lacks: &[Lack::Token, Lack::Metadata, Lack::Renewal, Lack::LossNotice, Lack::Order],
        note: "the recipe of Consul's documentation, by hand; sessions are kept for the next lock",
        way: Way::Client(|place| {
            Box::pin(async move {
                let shared = Shared {
                    http: client()?,
                    base: base(&place),
                    ttl_s: place.ttl_ms.div_ceil(1_000),
                    at_once: Semaphore::new(AT_ONCE),
                };
                Ok(Arc::new(Plain { shared: Arc::new(shared), idle: Arc::default() }) as Arc<dyn Client>)
            })
        }),
        skips: &[(Kind::Heartbeats, "nothing is renewed")],
    }
}

struct Shared {
    http: Http,
    base: String,
    ttl_s: u64,
    at_once: Semaphore,
}

/// Sessions that hold nothing: one session is one contender.
type Idle = Arc<Mutex<Vec<String>>>;

struct Plain {
    shared: Arc<Shared>,
    idle: Idle,
}

struct Locked {
    shared: Arc<Shared>,
    idle: Idle,
    session: String,
    key: String,
}

impl Shared {
    async fn session(&self) -> Result<String> {
        let _permit = self.at_once.acquire().await?;
        let session = json!({"TTL": format!("{}s", self.ttl_s), "LockDelay": "0s", "NodeChecks": []});
        let url = format!("{}/v1/session/create", self.base);
        let created: Value = self.http.put(url).json(&session).send().await?.error_for_status()?.json().await?;
        Ok(created["ID"].as_str().context("no session")?.to_owned())
    }

    async fn put(&self, url: &str) -> Result<bool> {
        let _permit = self.at_once.acquire().await?;
        Ok(self.http.put(url).body("x").send().await?.error_for_status()?.text().await?.trim() == "true")
    }
}

#[async_trait]
impl Client for Plain {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = match idle {
            Some(session) => session,
            None => self.shared.session().await?,
        };
        let key = format!("{}/v1/kv/plain/{key}", self.shared.base);
        while !self.shared.put(&format!("{key}?acquire={session}")).await? {
            let mut index = "0".to_owned();
            loop {
                let answer = self.shared.http.get(format!("{key}?index={index}&wait=30s")).send().await?;
                index = answer.headers().get("x-consul-index").context("no index")?.to_str()?.to_owned();
                let found: Value = answer.json().await.unwrap_or_default();
                if found[0]["Session"].is_null() {
                    break;
                }
            }
        }
        Ok(Box::new(Locked { shared: self.shared.clone(), idle: self.idle.clone(), session, key }))
    }
}

#[async_trait]
impl Held for Locked {
    async fn release(self: Box<Self>) -> Result<()> {
        let released = self.shared.put(&format!("{}?release={}", self.key, self.session)).await?;
        ensure!(released, "the lock was not ours");
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.session);
        Ok(())
    }
}

//! Consul's HTTP API, asked directly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Client as Http;
use tokio::sync::Semaphore;

use crate::contest::{Client, Contestant, Held, Kind, Lack, Place, Role, Signal, Way};

/// The client that the backend makes for itself, too: keep-alive, no delay, no redirects.
pub(super) fn client() -> Result<Http> {
    // An error says that there is one already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let redirects = reqwest::redirect::Policy::none();
    Ok(Http::builder().no_proxy().tcp_nodelay(true).redirect(redirects).timeout(Duration::from_secs(60)).build()?)
}

pub(super) fn base(place: &Place) -> String {
    place.url.replacen("consul://", "http://", 1)
}

/// The agent resets what goes beyond 200 connections of an address.
pub(super) const AT_ONCE: usize = 128;

/// Two writes, which no lock that others can see does without.
pub(crate) fn put_and_delete() -> Contestant {
    const NO_LOCK: &str = "it excludes nobody";
    Contestant {
        name: "PUT + DELETE",
        role: Role::Floor,
        lacks: &[Lack::Metadata, Lack::HangTakeover, Lack::Renewal, Lack::LossNotice],
        note: "of a key, by the same HTTP client; it excludes nobody; at most 128 requests at once, for the \
               agent allows 200 connections",
        way: Way::Client(|place| {
            Box::pin(async move {
                let at_once = Arc::new(Semaphore::new(AT_ONCE));
                Ok(Arc::new(Put { http: client()?, base: base(&place), at_once }) as Arc<dyn Client>)
            })
        }),
        skips: &[
            (Kind::Handoff, NO_LOCK),
            (Kind::Heartbeats, "nothing is renewed"),
            (Kind::Recovery, NO_LOCK),
            (Kind::Waiting, NO_LOCK),
        ],
    }
}

struct Put {
    http: Http,
    base: String,
    at_once: Arc<Semaphore>,
}

struct Written {
    http: Http,
    url: String,
    at_once: Arc<Semaphore>,
}

#[async_trait]
impl Client for Put {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let url = format!("{}/v1/kv/floor/{key}", self.base);
        let permit = self.at_once.acquire().await?;
        put(&self.http, &url, "x".into()).await?;
        drop(permit);
        Ok(Box::new(Written { http: self.http.clone(), url, at_once: self.at_once.clone() }))
    }
}

#[async_trait]
impl Held for Written {
    async fn release(self: Box<Self>) -> Result<()> {
        let _permit = self.at_once.acquire().await?;
        self.http.delete(&self.url).send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }
}

async fn put(http: &Http, url: &str, value: String) -> Result<()> {
    let answer = http.put(url).body(value).send().await?.error_for_status()?.text().await?;
    ensure!(answer.trim() == "true", "PUT was answered {answer}");
    Ok(())
}

/// From a PUT to the answer of another connection's blocking query.
pub(crate) fn put_to_answer() -> Contestant {
    const SIGNAL: &str = "a signal, not a lock";
    Contestant {
        name: "PUT to blocking query",
        role: Role::Floor,
        lacks: &[],
        note: SIGNAL,
        way: Way::Signal(|place| {
            Box::pin(async move {
                let url = format!("{}/v1/kv/signal/{}", base(&place), place.tag);
                let (writer, asker) = (client()?, client()?);
                put(&writer, &url, "0".into()).await?;
                Ok(Box::new(Query { writer, asker, url, number: 0 }) as Box<dyn Signal>)
            })
        }),
        skips: &[
            (Kind::Uncontended, SIGNAL),
            (Kind::Throughput, SIGNAL),
            (Kind::Heartbeats, SIGNAL),
            (Kind::Recovery, SIGNAL),
            (Kind::Waiting, SIGNAL),
        ],
    }
}

struct Query {
    writer: Http,
    asker: Http,
    url: String,
    number: u64,
}

#[async_trait]
impl Signal for Query {
    async fn signal(&mut self) -> Result<Duration> {
        let seen = index(&self.asker.get(&self.url).send().await?)?;
        let asking = tokio::spawn({
            let (asker, url) = (self.asker.clone(), format!("{}?index={seen}&wait=30s", self.url));
            async move {
                // It may be answered without news.
                while index(&asker.get(&url).send().await?)? <= seen {}
                anyhow::Ok(Instant::now())
            }
        });
        // Until the agent has the question: it can't tell.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let began = Instant::now();
        let writing = tokio::spawn({
            // The same value again would be no news.
            self.number += 1;
            let (writer, url, value) = (self.writer.clone(), self.url.clone(), self.number.to_string());
            async move { put(&writer, &url, value).await }
        });
        let heard = asking.await??;
        writing.await??;
        Ok(heard.saturating_duration_since(began))
    }
}

fn index(answer: &reqwest::Response) -> Result<u64> {
    let index = answer.headers().get("x-consul-index").context("no index")?;
    Ok(index.to_str()?.parse()?)
}

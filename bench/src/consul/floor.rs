//! Consul's HTTP API, asked directly.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// The client that the backend makes for itself, too: keep-alive, no delay, no redirects.
pub(crate) fn client() -> anyhow::Result<Client> {
    // An error says that there is one already.
    drop(rustls::crypto::ring::default_provider().install_default());
    Ok(Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60))
        .build()?)
}

/// One contender that knows no queue: everybody who waits has a blocking query on the lock's key.
pub(crate) struct Crowd {
    http: Client,
    base: String,
    session: String,
}

impl Crowd {
    pub(crate) async fn new(base: &str) -> anyhow::Result<Self> {
        let http = client()?;
        let session = json!({"TTL": "60s", "LockDelay": "0s", "NodeChecks": []});
        let created: Value = http.put(format!("{base}/v1/session/create")).json(&session).send().await?.json().await?;
        let session = created["ID"].as_str().context("no session")?.to_owned();
        Ok(Self { http, base: base.to_owned(), session })
    }

    pub(crate) async fn acquire(&self) -> anyhow::Result<()> {
        let key = format!("{}/v1/kv/crowd/.lock", self.base);
        while !self.put(&format!("{key}?acquire={}", self.session)).await? {
            let mut index = "0".to_owned();
            loop {
                let request = self.http.request(Method::GET, format!("{key}?index={index}&wait=30s"));
                let response = request.send().await?;
                let header = response.headers().get("x-consul-index").context("no index")?;
                index = header.to_str()?.to_owned();
                let found: Value = response.json().await?;
                if found[0]["Session"].is_null() {
                    break;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn release(&self) -> anyhow::Result<()> {
        let released = self.put(&format!("{}/v1/kv/crowd/.lock?release={}", self.base, self.session)).await?;
        ensure!(released, "the lock was not ours");
        Ok(())
    }

    async fn put(&self, url: &str) -> anyhow::Result<bool> {
        Ok(self.http.put(url).body("x").send().await?.text().await?.trim() == "true")
    }
}

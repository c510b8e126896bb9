//! The bare driver, as the backend uses it, with nothing on top.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};

use crate::contest::{Client, Contestant, Held, Kind, Lack, Place, Role, Way};

async fn connect(place: &Place) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("{}/?protocol=resp3", place.url))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(1024);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// The least that a lock on Redis can be: set if absent, delete if one's own.
pub(crate) fn scripts() -> Contestant {
    const ALONE: &str = "excludes, but can't wait";
    Contestant {
        name: "two EVALSHA",
        role: Role::Floor,
        lacks: &[Lack::Token, Lack::Metadata, Lack::Renewal, Lack::LossNotice],
        note: "set if absent, delete if one's own, by the same driver",
        way: Way::Client(|place| Box::pin(async move { Ok(Arc::new(Scripts::new(place).await?) as Arc<dyn Client>) })),
        skips: &[
            (Kind::Handoff, ALONE),
            (Kind::Heartbeats, "nothing is renewed"),
            (Kind::Recovery, ALONE),
            (Kind::Waiting, ALONE),
        ],
    }
}

#[derive(Clone)]
struct Scripts {
    connection: MultiplexedConnection,
    acquire: Arc<Script>,
    release: Arc<Script>,
    ttl_ms: u64,
}

impl Scripts {
    async fn new(place: Place) -> Result<Self> {
        let mut connection = connect(&place).await?;
        let acquire = Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])");
        let release =
            Script::new("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0");
        acquire.load_async(&mut connection).await?;
        release.load_async(&mut connection).await?;
        Ok(Self { connection, acquire: Arc::new(acquire), release: Arc::new(release), ttl_ms: place.ttl_ms })
    }
}

struct Set {
    scripts: Scripts,
    key: String,
}

const OWNER: &str = "0123456789abcdef0123456789abcdef";

#[async_trait]
impl Client for Scripts {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let mut scripts = self.clone();
        let mut call = scripts.acquire.prepare_invoke();
        let set: Option<String> =
            call.key(key).arg(OWNER).arg(self.ttl_ms).invoke_async(&mut scripts.connection).await?;
        ensure!(set.is_some(), "the key was there");
        Ok(Box::new(Set { scripts, key: key.to_owned() }))
    }
}

#[async_trait]
impl Held for Set {
    async fn release(mut self: Box<Self>) -> Result<()> {
        let mut call = self.scripts.release.prepare_invoke();
        let deleted: i64 = call.key(&self.key).arg(OWNER).invoke_async(&mut self.scripts.connection).await?;
        ensure!(deleted == 1, "the key was gone");
        Ok(())
    }
}

/// An element of a list that is passed round: the least that a hand-off on Redis can be.
pub(crate) fn token() -> Contestant {
    const ROUND: &str = "a token that is passed round is no lock of a key";
    Contestant {
        name: "BLPOP token",
        role: Role::Floor,
        lacks: &[Lack::Token, Lack::Metadata, Lack::HangTakeover, Lack::Renewal, Lack::LossNotice],
        note: "an element of a list, taken by BLPOP on a connection of the waiter's own, put back by RPUSH",
        way: Way::Client(|place| {
            Box::pin(async move {
                let shared = connect(&place).await?;
                Ok(Arc::new(Token { place, shared, idle: Arc::default(), made: Mutex::default() }) as Arc<dyn Client>)
            })
        }),
        skips: &[
            (Kind::Uncontended, ROUND),
            (Kind::Throughput, ROUND),
            (Kind::Heartbeats, "nothing is renewed"),
            (Kind::Recovery, "who dies takes the token along"),
        ],
    }
}

struct Token {
    place: Place,
    shared: MultiplexedConnection,
    /// A connection that waits can do nothing else.
    idle: Arc<Mutex<Vec<MultiplexedConnection>>>,
    made: Mutex<HashSet<String>>,
}

struct Taken {
    connection: MultiplexedConnection,
    idle: Arc<Mutex<Vec<MultiplexedConnection>>>,
    key: String,
}

#[async_trait]
impl Client for Token {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        if self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned()) {
            let mut shared = self.shared.clone();
            let first: bool = redis::cmd("SETNX").arg(format!("{key}:made")).arg(1).query_async(&mut shared).await?;
            if first {
                let _: i64 = redis::cmd("RPUSH").arg(key).arg("x").query_async(&mut shared).await?;
            }
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.place).await?,
        };
        let _: (String, String) = redis::cmd("BLPOP").arg(key).arg(0).query_async(&mut connection).await?;
        Ok(Box::new(Taken { connection, idle: self.idle.clone(), key: key.to_owned() }))
    }
}

#[async_trait]
impl Held for Taken {
    async fn release(mut self: Box<Self>) -> Result<()> {
        let _: i64 = redis::cmd("RPUSH").arg(&self.key).arg("x").query_async(&mut self.connection).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection);
        Ok(())
    }
}

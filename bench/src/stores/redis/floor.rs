//! A token that is passed round by the bare driver: the floor of a hand-off.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use crate::contest::{Client, Contestant, Held, Kind, Lack, Place, Role, Way};

pub(super) async fn connect(place: &Place) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("{}/?protocol=resp3", place.url))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(1024);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
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

//! Two `EVALSHA` by the bare driver, as the backend calls it, with nothing on top.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{Script, ScriptInvocation, Value};

use super::floor::connect;
use crate::contest::{Client, Contestant, Held, Kind, Lack, Place, Role, Way};

const ALONE: &str = "excludes, but can't wait";
const SKIPS: &[(Kind, &str)] = &[
    (Kind::Handoff, ALONE),
    (Kind::Heartbeats, "nothing is renewed"),
    (Kind::Recovery, ALONE),
    (Kind::Waiting, ALONE),
];

/// The least that a lock on Redis can be: set if absent, delete if one's own.
pub(crate) fn least() -> Contestant {
    Contestant {
        name: "two EVALSHA",
        role: Role::Floor,
        lacks: &[Lack::Token, Lack::Metadata, Lack::Renewal, Lack::LossNotice],
        note: "set if absent, delete if one's own, by the same driver",
        way: Way::Client(|place| {
            let acquire = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])";
            let release =
                "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
            Box::pin(async move { Scripts::client(place, acquire, release, false).await })
        }),
        skips: SKIPS,
    }
}

/// What the calls of our backend cost without our client around them.
pub(crate) fn ours_raw() -> Contestant {
    Contestant {
        name: RAW,
        role: Role::Floor,
        lacks: &[Lack::Renewal, Lack::LossNotice],
        note: "the two scripts of our backend, with arguments like its own, by the same driver and nothing else",
        way: Way::Client(|place| {
            let (acquire, release) = lock_redis::fuzzing::scripts();
            Box::pin(async move { Scripts::client(place, &acquire, &release, true).await })
        }),
        skips: SKIPS,
    }
}

pub(crate) const RAW: &str = "our scripts, raw";
const OWNER: &str = "0123456789abcdef0123456789abcdef";
/// As long as the channel on which a client of ours listens.
const CHANNEL: &str = "distlock:@0123456789abcdef0123456789abcdef";

#[derive(Clone)]
struct Scripts {
    connection: MultiplexedConnection,
    acquire: Arc<Script>,
    release: Arc<Script>,
    ttl_ms: u64,
    ours: bool,
}

impl Scripts {
    async fn client(place: Place, acquire: &str, release: &str, ours: bool) -> Result<Arc<dyn Client>> {
        let mut connection = connect(&place).await?;
        let (acquire, release) = (Script::new(acquire), Script::new(release));
        acquire.load_async(&mut connection).await?;
        release.load_async(&mut connection).await?;
        let (acquire, release) = (Arc::new(acquire), Arc::new(release));
        Ok(Arc::new(Self { connection, acquire, release, ttl_ms: place.ttl_ms, ours }))
    }
}

struct Set {
    scripts: Scripts,
    key: String,
}

#[async_trait]
impl Client for Scripts {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let mut scripts = self.clone();
        let mut call = scripts.acquire.prepare_invoke();
        if self.ours {
            // What it says of itself, and how it would stand in line.
            let body = format!(
                "\"wake\":\"{CHANNEL}\",\"key\":\"{key}\",\"host\":\"a-host-of-ours\",\"pid\":{},\
                 \"program\":\"distlock-bench\",\"ttl_ms\":{}}}",
                std::process::id(),
                self.ttl_ms
            );
            keys(&mut call, key).arg(OWNER).arg(self.ttl_ms).arg(body).arg(CHANNEL).arg(2_000);
        } else {
            call.key(key).arg(OWNER).arg(self.ttl_ms);
        }
        let set: Value = call.invoke_async(&mut scripts.connection).await?;
        // Refused is nil, or a list that says who has it.
        ensure!(!matches!(set, Value::Nil | Value::Array(_)), "the key was there");
        drop(call);
        Ok(Box::new(Set { scripts, key: key.to_owned() }))
    }
}

#[async_trait]
impl Held for Set {
    async fn release(mut self: Box<Self>) -> Result<()> {
        let mut call = self.scripts.release.prepare_invoke();
        if self.scripts.ours {
            keys(&mut call, &self.key).arg(OWNER).arg("");
        } else {
            call.key(&self.key).arg(OWNER);
        }
        let deleted: i64 = call.invoke_async(&mut self.scripts.connection).await?;
        ensure!(deleted == 1, "the key was gone");
        Ok(())
    }
}

/// The lock, its last token, and its queue, as our backend names them.
fn keys<'a, 'b>(call: &'b mut ScriptInvocation<'a>, key: &str) -> &'b mut ScriptInvocation<'a> {
    let lock = format!("distlock:{key}");
    let (last, queue) = (format!("{{{lock}}}:last"), format!("{{{lock}}}:queue"));
    call.key(lock).key(last).key(queue)
}

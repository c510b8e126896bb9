//! Looking at the locks of a server, and taking one away.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lock_core::{BackendError, BreakOutcome, FencingToken, Finding, LockAdmin, LockKey, LockRecord, Operation};
use redis::{FromRedisValue, Pipeline, Value, cmd, pipe};

use crate::backend::RedisBackend;
use crate::error::Failure;
use crate::link::Link;
use crate::preflight;
use crate::record;
use crate::shared::{Shared, failing, odd};

/// How many names a step of a listing may look at, and how many values are asked for at once: renewals share the
/// connection, and mustn't wait for megabytes.
const STEP: u32 = 1_000;
const AT_ONCE: usize = 64;
/// How much of a value is asked for. Ours are shorter (a key and a label of full length, escaped, are below 8 KiB); a
/// foreign one of any length says nothing anyway.
const LONGEST: u32 = 16 * 1_024;

#[async_trait]
impl LockAdmin for RedisBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Option<LockRecord>, BackendError> {
        let names = self.shared.names.of(key);
        let mut commands = pipe();
        ask(&mut commands, &names.lock);
        let fail = failing(Operation::Inspect, key);
        match self.shared.topology.send_all(&names, &commands).await.map_err(&fail)?.as_slice() {
            [_, Value::Int(-2)] => Ok(None),
            [Value::BulkString(value), Value::Int(left)] => Ok(Some(record::describe(key, &names.lock, value, *left))),
            other => Err(fail(odd(&Value::Array(other.to_vec())))),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, BackendError> {
        self.shared.list(prefix).await.map_err(|failure| failure.during(Operation::List))
    }

    async fn break_lock(&self, key: &LockKey, if_token: Option<FencingToken>) -> Result<BreakOutcome, BackendError> {
        let names = self.shared.names.of(key);
        let token = if_token.map(|token| token.to_string()).unwrap_or_default();
        let fail = failing(Operation::Break, key);
        let answer = self.shared.topology.run(&self.shared.scripts.break_lock, &names, &[token.as_bytes()]).await;
        let answer = answer.map_err(&fail)?;
        let Value::Array(parts) = &answer else { return Err(fail(odd(&answer))) };
        match parts.as_slice() {
            [] => Ok(BreakOutcome::Free),
            [Value::BulkString(word), Value::BulkString(value), Value::Int(left)] => {
                let record = record::describe(key, &names.lock, value, *left);
                let broken = word.as_slice() == b"broken";
                Ok(if broken { BreakOutcome::Broken(record) } else { BreakOutcome::TokenDiffers(record) })
            }
            _ => Err(fail(odd(&answer))),
        }
    }

    async fn preflight(&self) -> Vec<Finding> {
        preflight::run(&self.shared).await
    }
}

impl Shared {
    async fn list(&self, prefix: &str) -> Result<Vec<LockRecord>, Failure> {
        // By name: SCAN may tell the same one twice.
        let mut found = BTreeMap::new();
        for master in self.topology.masters().await? {
            let mut cursor = b"0".to_vec();
            loop {
                let scan = cmd("SCAN")
                    .arg(&cursor)
                    .arg("MATCH")
                    .arg(self.names.pattern())
                    .arg("COUNT")
                    .arg(STEP)
                    .arg("TYPE")
                    .arg("string")
                    .take();
                let answer = master.send(&scan).await?;
                let (next, names) = <(Vec<u8>, Vec<Vec<u8>>)>::from_redis_value(answer)
                    .map_err(|error| master.odd(&error.to_string()))?;
                let wanted = names.into_iter().filter_map(|name| {
                    let name = String::from_utf8(name).ok()?;
                    let key = self.names.key_of(&name)?;
                    key.as_str().starts_with(prefix).then_some((key, name))
                });
                for some in wanted.collect::<Vec<_>>().chunks(AT_ONCE) {
                    describe_all(&master, some, &mut found).await?;
                }
                if next == b"0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(found.into_values().collect())
    }
}

async fn describe_all(
    master: &Link,
    names: &[(LockKey, String)],
    found: &mut BTreeMap<LockKey, LockRecord>,
) -> Result<(), Failure> {
    let mut commands = pipe();
    for (_, name) in names {
        ask(&mut commands, name);
    }
    let answers = master.send_each(&commands, master.limit()).await?;
    for ((key, name), answer) in names.iter().zip(answers.chunks(2)) {
        // What expired meanwhile, moved away or is no string is no lock any more.
        let [Ok(Value::BulkString(value)), Ok(Value::Int(left))] = answer else { continue };
        // Under an empty prefix there may be others' strings: a lock of theirs has an expiry.
        if *left >= 0 || (*left == -1 && record::is_ours(value)) {
            found.insert(key.clone(), record::describe(key, name, value, *left));
        }
    }
    Ok(())
}

/// Asks for a lock's value and its remaining ms: -2 if it isn't there, -1 if it has no expiry.
fn ask(commands: &mut Pipeline, name: &str) {
    commands.add_command(cmd("GETRANGE").arg(name).arg(0).arg(LONGEST - 1).take());
    commands.add_command(cmd("PTTL").arg(name).take());
}

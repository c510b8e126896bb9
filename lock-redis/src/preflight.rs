//! Checks of a server before one depends on it.

mod rights;

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lock_core::{
    AcquireRequest, Attempt, BackendError, ErrorKind, Finding, LockKey, Operation, OwnerId, Severity, Ttl,
};
use redis::{FromRedisValue, Value, cmd};

use crate::error::Failure;
use crate::link::Link;
use crate::shared::Shared;

/// Clocks that differ by more are worth a word.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// The oldest server whose commands suffice (`PEXPIRE ... GT`, sharded channels, errors told from within scripts).
const OLDEST: (u32, u32) = (7, 0);

/// All checks, in the order in which a reader should mend them.
pub(crate) async fn run(shared: &Shared) -> Vec<Finding> {
    let masters = match shared.topology.masters().await {
        Ok(masters) => masters,
        Err(failure) => return vec![failed("reachable", &failure.during(Operation::Preflight))],
    };
    let mut findings = Vec::new();
    let mut is_denied = false;
    for master in &masters {
        let rights = rights::check(master, shared).await;
        is_denied |= rights.severity() == Severity::Denied;
        findings.push(rights);
        match info(master).await {
            Ok(info) => {
                findings.push(version(master, &info));
                findings.push(eviction(master, &info));
                findings.push(persistence(master, &info).await);
                findings.push(replicas(master, &info, shared));
            }
            Err(failure) => findings.push(untold(master, failure)),
        }
        findings.push(clock(master).await);
    }
    // It would fail, and say less.
    if !is_denied {
        findings.push(try_out(shared).await);
    }
    findings
}

type Info = HashMap<String, String>;

async fn info(master: &Link) -> Result<Info, Failure> {
    let answer = master.send(&cmd("INFO")).await?;
    let text = String::from_redis_value(answer).map_err(|error| master.odd(&error.to_string()))?;
    let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn said<'a>(info: &'a Info, name: &str) -> &'a str {
    info.get(name).map_or("", String::as_str)
}

fn version(master: &Link, info: &Info) -> Finding {
    const CHECK: &str = "version";
    let (product, text) = match info.get("valkey_version") {
        Some(version) => ("Valkey", version.as_str()),
        None => ("Redis", said(info, "redis_version")),
    };
    let mut numbers = text.split('.').map_while(|part| part.parse().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        return Finding::new(
            Severity::Unusable,
            CHECK,
            format!("{} is {product} {text}", master.shown()),
            "its scripts lack commands that locks need",
            "use Redis 7.0 or newer, or Valkey",
        );
    }
    Finding::good(CHECK, format!("{} is {product} {text}", master.shown()))
}

fn eviction(master: &Link, info: &Info) -> Finding {
    const CHECK: &str = "eviction";
    let (policy, limit) = (said(info, "maxmemory_policy"), said(info, "maxmemory"));
    if policy == "noeviction" {
        return Finding::good(CHECK, format!("{} never evicts keys", master.shown()));
    }
    let now = if limit == "0" { "once maxmemory is set" } else { "when memory runs out" };
    Finding::new(
        Severity::Warning,
        CHECK,
        format!("{} evicts keys {now}: maxmemory-policy is {policy}", master.shown()),
        "an evicted lock is free while its holder still works",
        "use a server of its own for locks, with `maxmemory-policy noeviction`",
    )
}

async fn persistence(master: &Link, info: &Info) -> Finding {
    const CHECK: &str = "persistence";
    if said(info, "aof_enabled") == "1" {
        return Finding::good(CHECK, format!("{} writes an append-only file", master.shown()));
    }
    // CONFIG is often kept from users; then INFO has to do.
    let answer = master.send(cmd("CONFIG").arg("GET").arg("save")).await.ok();
    let saves = answer.and_then(|answer| HashMap::<String, String>::from_redis_value(answer).ok());
    let saves = saves.and_then(|mut config| config.remove("save"));
    let (what, advice) = match saves.as_deref() {
        Some("") => ("keeps nothing on disk", "turn on `appendonly yes`"),
        Some(_) => ("saves now and then (RDB)", "turn on `appendonly yes`, so that the last seconds survive, too"),
        None => ("writes no append-only file", "turn on `appendonly yes`"),
    };
    Finding::new(
        Severity::Warning,
        CHECK,
        format!("{} {what}", master.shown()),
        "after a restart, locks may be free whose holders still work; they find out at their next renewal, and tokens \
         keep rising",
        advice,
    )
}

fn replicas(master: &Link, info: &Info, shared: &Shared) -> Finding {
    const CHECK: &str = "replicas";
    let shown = master.shown();
    if said(info, "role") != "master" {
        return Finding::new(
            Severity::Unusable,
            CHECK,
            format!("{shown} is a replica"),
            "replicas refuse writes",
            "name its master, or use redis+sentinel://",
        );
    }
    let connected = said(info, "connected_slaves").parse().unwrap_or(0_u32);
    let wanted = shared.replication.map_or(0, |replication| replication.replicas);
    if connected < wanted {
        return Finding::new(
            Severity::Unusable,
            CHECK,
            format!("{shown} has {connected} replicas, and min_replicas asks for {wanted}"),
            "no lock can be acquired",
            "start the replicas, or ask for fewer",
        );
    }
    if connected > 0 && wanted == 0 {
        return Finding::new(
            Severity::Warning,
            CHECK,
            format!("{shown} has {connected} replicas, and they get its writes a moment later"),
            "a failover can forget the last locks, and then two hold one; the token tells them apart",
            "check tokens where it matters; `min_replicas=1` makes it less likely",
        );
    }
    Finding::good(CHECK, format!("{shown} has {connected} replicas, {wanted} must have a lock"))
}

async fn clock(master: &Link) -> Finding {
    const CHECK: &str = "clock";
    let told = match master.send(&cmd("TIME")).await {
        Ok(answer) => <(String, String)>::from_redis_value(answer).ok(),
        Err(failure) => return failed(CHECK, &failure.during(Operation::Preflight)),
    };
    let seconds = told.and_then(|(seconds, _)| seconds.parse().ok()).unwrap_or_default();
    let (theirs, ours) = (UNIX_EPOCH + Duration::from_secs(seconds), SystemTime::now());
    let apart = theirs.duration_since(ours).unwrap_or_else(|error| error.duration());
    if apart > CLOCKS_APART {
        return Finding::new(
            Severity::Warning,
            CHECK,
            format!("the clocks of {} and of this host are {} s apart", master.shown(), apart.as_secs()),
            "leases don't mind; tokens are made from the server's clock, and if that is set back *and* its data is \
             lost, they fall",
            "let NTP set both clocks",
        );
    }
    Finding::good(CHECK, format!("the clock of {} agrees with this host's", master.shown()))
}

/// Does once what every lock does.
async fn try_out(shared: &Shared) -> Finding {
    const CHECK: &str = "locking";
    match try_steps(shared).await {
        Ok(()) => Finding::good(CHECK, "a lock was acquired, renewed and released, and its channel published to"),
        Err(error) => failed(CHECK, &error.with_operation(Operation::Preflight)),
    }
}

async fn try_steps(shared: &Shared) -> Result<(), BackendError> {
    let key = LockKey::new(format!("distlock-check-{}", OwnerId::mint())).expect("short, and not empty");
    let ttl = Ttl::new(Duration::from_secs(10)).expect("a TTL like others");
    let request = AcquireRequest::new(key.clone(), ttl);
    let Attempt::Granted(grant) = shared.try_acquire(&request).await? else {
        let message = "a lock that nobody can know of is held";
        return Err(BackendError::new(ErrorKind::Protocol, Operation::Preflight, message));
    };
    let renewed = shared.renew(&lock_core::Lease::new(request.claim(), grant.token(), ttl)).await;
    let published = publish(shared, &key).await;
    // In any case; and nobody will need the token of a name that is used once.
    shared.release(&request.claim()).await?;
    let names = shared.names.of(&key);
    let mut forget = redis::pipe();
    forget.add_command(cmd("DEL").arg(&names.last).take());
    shared.topology.send_all(&names, &forget).await.map_err(crate::shared::failing(Operation::Preflight, &key))?;
    renewed?;
    published
}

/// Scripts publish with the caller's rights: without them, a lock that somebody waits for can't be released.
async fn publish(shared: &Shared, key: &LockKey) -> Result<(), BackendError> {
    let names = shared.names.of(key);
    let fail = crate::shared::failing(Operation::Preflight, key);
    let channel = shared.topology.listen(&shared.names, &names).await.map_err(&fail)?;
    let mut commands = redis::pipe();
    commands.add_command(cmd(shared.topology.publishes_with()).arg(channel).arg("").take());
    match shared.topology.send_all(&names, &commands).await.map_err(&fail)?.as_slice() {
        [Value::Int(_)] => Ok(()),
        other => Err(fail(crate::shared::odd(&Value::Array(other.to_vec())))),
    }
}

fn untold(master: &Link, failure: Failure) -> Finding {
    let error = failure.during(Operation::Preflight);
    if error.kind() == ErrorKind::PermissionDenied {
        return Finding::new(
            Severity::Warning,
            "info",
            format!("{} doesn't tell this user about itself: {}", master.shown(), error.message()),
            "eviction, persistence and replicas couldn't be checked",
            "run the check as a user that may call INFO",
        );
    }
    failed("info", &error)
}

fn failed(check: &'static str, error: &BackendError) -> Finding {
    let severity = if error.kind() == ErrorKind::PermissionDenied { Severity::Denied } else { Severity::Unusable };
    Finding::new(severity, check, error.message(), "no lock can be acquired there", error.advice().unwrap_or_default())
}

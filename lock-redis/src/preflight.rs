//! Checks of a server before one depends on it.

mod rights;
mod server;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lock_core::{
    AcquireRequest, Attempt, BackendError, ErrorKind, Finding, LockKey, Operation, OwnerId, Severity, Ttl,
};
use redis::{FromRedisValue, Value, cmd};

use crate::connector::Connector;
use crate::error::Failure;
use crate::link::Link;
use crate::shared::Shared;
use server::Info;

/// All checks, in the order in which a reader should mend them.
pub(crate) async fn run(shared: &Shared) -> Vec<Finding> {
    let masters = match shared.topology.masters().await {
        Ok(masters) => masters,
        Err(failure) => return vec![failed("reachable", &failure.during(Operation::Preflight))],
    };
    let mut findings = Vec::new();
    let mut is_denied = false;
    let wanted = shared.replication.map_or(0, |replication| replication.replicas);
    for master in &masters {
        let rights = rights::check(master, shared).await;
        is_denied |= rights.severity() == Severity::Denied;
        findings.push(rights);
        match info(master).await {
            Ok(info) => {
                let shown = master.shown();
                findings.push(server::version(shown, &info));
                findings.push(server::eviction(shown, &info));
                findings.push(server::persistence(shown, &info, saves(master).await.as_deref()));
                findings.push(server::replicas(shown, &info, wanted));
                findings.extend(clocks_of_replicas(master, &info, shared).await);
            }
            Err(failure) => findings.push(untold(master, failure)),
        }
        findings.push(match time(master).await {
            Ok(theirs) => server::clock(master.shown(), theirs, SystemTime::now()),
            Err(failure) => failed("clock", &failure.during(Operation::Preflight)),
        });
    }
    // It would fail, and say less.
    if !is_denied {
        findings.push(try_out(shared).await);
    }
    findings
}

async fn info(master: &Link) -> Result<Info, Failure> {
    let answer = master.send(&cmd("INFO")).await?;
    let text = String::from_redis_value(answer).map_err(|error| master.odd(&error.to_string()))?;
    let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// What `CONFIG` says of when it saves. It is often kept from users; then INFO has to do.
async fn saves(master: &Link) -> Option<String> {
    let answer = master.send(cmd("CONFIG").arg("GET").arg("save")).await.ok()?;
    HashMap::<String, String>::from_redis_value(answer).ok()?.remove("save")
}

/// A server's clock.
async fn time(server: &Link) -> Result<SystemTime, Failure> {
    let answer = server.send(&cmd("TIME")).await?;
    let (seconds, micros) = <(u64, u64)>::from_redis_value(answer).map_err(|error| server.odd(&error.to_string()))?;
    Ok(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Compares the clocks of a master and of its replicas. One that can't be reached from here says nothing: it may be known
/// to clients by another address.
async fn clocks_of_replicas(master: &Link, info: &Info, shared: &Shared) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in server::replicas_of(info) {
        let replica = Link::new(Connector::to_server(shared.settings.clone(), address), shared.inbox.clone(), None);
        let (Ok(theirs), began) = (time(&replica).await, Instant::now()) else { continue };
        let Ok(masters) = time(master).await else { continue };
        let theirs = theirs + began.elapsed();
        let apart = theirs.duration_since(masters).unwrap_or_else(|error| error.duration());
        findings.push(server::clock_of_replica(master.shown(), replica.shown(), apart));
    }
    findings
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

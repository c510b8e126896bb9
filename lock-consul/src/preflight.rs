//! Checks of a Consul before one depends on it.

use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Finding, Operation, OwnerId, Severity};
use serde::Deserialize;

use crate::api::Txn;
use crate::backend::{MAX_TTL, MIN_TTL, Shared};
use crate::wire::{NewSession, Step};

const PREFLIGHT: Operation = Operation::Preflight;

#[derive(Deserialize)]
struct Agent {
    #[serde(rename = "Config")]
    config: AgentConfig,
    #[serde(rename = "DebugConfig", default)]
    debug: DebugConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    version: String,
    #[serde(default)]
    server: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct DebugConfig {
    dev_mode: bool,
    leave_on_term: bool,
}

/// All checks, in the order in which a reader should mend them.
pub(crate) async fn run(shared: &Shared) -> Vec<Finding> {
    let mut findings = vec![leader(shared).await];
    if findings[0].severity() >= Severity::Unusable {
        // Every other check would say the same.
        return findings;
    }
    findings.extend(servers(shared).await);
    findings.extend(agent(shared).await);
    findings.extend(try_out(shared).await);
    findings.push(namespace(shared).await);
    findings
}

async fn leader(shared: &Shared) -> Finding {
    const CHECK: &str = "leader";
    match shared.api.ask::<String>(PREFLIGHT, "/v1/status/leader").await {
        Ok(leader) if leader.is_empty() => Finding::new(
            Severity::Unusable,
            CHECK,
            "the cluster has no leader",
            "no lock can be acquired or renewed",
            "see the servers with `consul operator raft list-peers` and `consul members`",
        ),
        Ok(leader) => Finding::good(CHECK, format!("the leader is {leader}")),
        Err(error) => failed(CHECK, &error),
    }
}

async fn servers(shared: &Shared) -> Option<Finding> {
    const CHECK: &str = "servers";
    let peers: Vec<String> = shared.api.ask(PREFLIGHT, "/v1/status/peers").await.ok()?;
    Some(match peers.len() {
        0..=2 => Finding::new(
            Severity::Warning,
            CHECK,
            format!("{} server(s) vote", peers.len()),
            "while one is down, no lock can be acquired or renewed, and holders lose theirs after the TTL",
            "three or five servers go on without one",
        ),
        number => Finding::good(CHECK, format!("{number} servers vote")),
    })
}

async fn agent(shared: &Shared) -> Vec<Finding> {
    const CHECK: &str = "version";
    let agent: Agent = match shared.api.ask(PREFLIGHT, "/v1/agent/self").await {
        Ok(agent) => agent,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let what = "the agent doesn't tell its version (the token has no agent:read); locks don't need that";
            return vec![Finding::good(CHECK, what)];
        }
        Err(error) => return vec![failed(CHECK, &error)],
    };
    let role = if agent.config.server { "server" } else { "client" };
    let mut findings = vec![Finding::good(CHECK, format!("a {role} of Consul {}", agent.config.version))];
    if agent.debug.dev_mode {
        findings.push(Finding::new(
            Severity::Warning,
            "data",
            "the agent runs with -dev and keeps everything in memory",
            "after its restart all locks are free, and fencing tokens begin anew",
            "for anything but a trial, run servers with a data directory",
        ));
    }
    if agent.debug.leave_on_term {
        findings.push(Finding::new(
            Severity::Warning,
            "leave",
            "the agent leaves the cluster when it is stopped (leave_on_terminate)",
            "the sessions of its node end with that, whatever their TTL: others get the locks after the lock-delay, \
             and their holders, which ask this agent, don't hear of it",
            "leave_on_terminate = false in the agent's configuration; or a lock_delay as long as the TTL",
        ));
    }
    findings
}

/// Does once what every lock does: a session of the shortest TTL, a lock, its release.
async fn try_out(shared: &Shared) -> Vec<Finding> {
    let (session, range) = match session(shared, MIN_TTL).await {
        Ok(session) => {
            let range = "TTLs from 10s to 24h are granted; takeover takes up to twice the TTL";
            (session, Finding::good("ttl-range", range))
        }
        Err(error) if error.message().contains("Invalid Session TTL") => {
            let range = Finding::new(
                Severity::Warning,
                "ttl-range",
                error.message(),
                "locks with a shorter TTL than that are refused",
                "ask for longer TTLs, or lower session_ttl_min in the servers' configuration",
            );
            // The rights are worth a look all the same.
            match session(shared, MAX_TTL).await {
                Ok(session) => (session, range),
                Err(error) => return vec![range, failed("session", &error)],
            }
        }
        Err(error) => return vec![failed("session", &error)],
    };
    let mut findings = vec![
        Finding::good("session", "sessions can be created (session:write)"),
        range,
        Finding::good(
            "lock-delay",
            match shared.lock_delay {
                Duration::ZERO => "a lost lock can be taken at once (lock_delay=0)".to_owned(),
                delay => format!("a lost lock stays shut for {delay:?}, so that its holder can hear of it"),
            },
        ),
    ];
    findings.push(match lock_once(shared, &session).await {
        Ok(()) => Finding::good("key", "keys of locks can be written and read (key:write)"),
        Err(error) => failed("key", &error),
    });
    if let Err(error) = shared.api.destroy_session(PREFLIGHT, &session).await {
        findings.push(failed("session", &error));
    }
    findings
}

async fn session(shared: &Shared, ttl: Duration) -> Result<String, BackendError> {
    let new = NewSession {
        name: shared.session_name.clone(),
        node: None,
        ttl: format!("{}ms", ttl.as_millis()),
        // Should a step fail, the key of the check goes with the session.
        behavior: "delete",
        lock_delay: "0s".to_owned(),
        node_checks: [],
    };
    shared.api.create_session(PREFLIGHT, &new).await
}

async fn lock_once(shared: &Shared, session: &str) -> Result<(), BackendError> {
    // Not a key that a lock can have.
    let key = format!("{}~check/{}", shared.prefix, OwnerId::mint());
    let expect = |txn: Txn| match txn {
        Txn::Done(_) => Ok(()),
        Txn::Refused(refusal) => Err(BackendError::new(
            ErrorKind::Protocol,
            PREFLIGHT,
            format!("a lock that nobody has was refused: {refusal:?}"),
        )),
    };
    expect(shared.api.txn(PREFLIGHT, &[Step::absent(&key), Step::lock(&key, session, b"")]).await?)?;
    shared.api.read(PREFLIGHT, &key).await?;
    expect(shared.api.txn(PREFLIGHT, &[Step::unlock(&key, session), Step::delete(&key)]).await?)
}

const SHARED_SPACE: &str =
    "a process that waits for, or holds, more than a few locks watches all keys with a common beginning";

/// Without a prefix of their own, locks are among other programs' keys.
async fn namespace(shared: &Shared) -> Finding {
    const CHECK: &str = "prefix";
    if !shared.prefix.is_empty() {
        return Finding::good(CHECK, format!("all locks are below {:?}", shared.prefix));
    }
    let names = match shared.api.names(PREFLIGHT, "").await {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return failed(CHECK, &error),
        // What is too much to be listed is a lot.
        Err(error) => {
            return Finding::new(
                Severity::Warning,
                CHECK,
                format!("the locks have no prefix, and what is in the key space can't be told: {}", error.message()),
                SHARED_SPACE,
                "give the locks a prefix of their own: prefix=locks/",
            );
        }
    };
    let others = names.iter().filter(|name| !name.ends_with("/.lock") && !name.contains("/.queue/")).count();
    if others < 100 {
        return Finding::good(CHECK, "no prefix: the lock NAME is that of `consul lock NAME`");
    }
    Finding::new(
        Severity::Warning,
        CHECK,
        format!("the locks have no prefix, and share the key space with {others} other keys"),
        SHARED_SPACE,
        "give the locks a prefix of their own: prefix=locks/",
    )
}

fn failed(check: &'static str, error: &BackendError) -> Finding {
    let severity = match error.kind() {
        ErrorKind::PermissionDenied => Severity::Denied,
        _ => Severity::Unusable,
    };
    let advice = error.advice().unwrap_or("see the agent's log");
    Finding::new(severity, check, error.message(), "locks can't be acquired", advice)
}

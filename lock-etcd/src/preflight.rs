//! Checks of a cluster before one depends on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::StatusResponse;
use lock_core::{AcquireRequest, Attempt, BackendError, ErrorKind, Finding, LockKey, Operation, Severity, Ttl};

use crate::backend::Shared;
use crate::error::Failed;
use crate::members::quorum;
use crate::session::Session;
use crate::versions::version;

pub(crate) const OPERATION: Operation = Operation::Preflight;

/// A commit that takes longer than this makes every lock slow.
const SLOW: Duration = Duration::from_millis(100);

/// All checks, in the order in which a reader should mend them.
pub(crate) async fn run(shared: &Arc<Shared>) -> Vec<Finding> {
    let session = shared.session();
    let mut findings = Vec::new();
    let mut answering = Vec::new();
    for index in 0..session.endpoints() {
        match session.ask(index, OPERATION, &|mut link| async move { link.client.status().await }).await {
            Ok(status) => answering.push((index, status)),
            Err(failed) => findings.push(unreachable(&session, index, failed)),
        }
    }
    for (index, status) in &answering {
        findings.push(version(session.name(*index), status.version()));
        findings.push(leader(session.name(*index), status));
    }
    findings.extend(quorum(&session, &answering).await);
    if let Some((index, _)) = answering.first() {
        findings.push(alarms(&session, *index).await);
    }
    findings.push(access(&session, &answering).await);
    findings.extend(try_out(shared).await);
    // A store of which no endpoint answers is of no use; one that lacks some is.
    if !answering.is_empty() {
        for finding in &mut findings {
            if finding.check() == "endpoint" && finding.severity() == Severity::Unusable {
                *finding = warning("endpoint", finding.what(), "fewer endpoints are left to turn to", finding.advice());
            }
        }
    }
    findings
}

fn unreachable(session: &Session, index: usize, failed: Failed) -> Finding {
    let error = failed.into_error(OPERATION);
    let severity = if error.kind() == ErrorKind::PermissionDenied { Severity::Denied } else { Severity::Unusable };
    let advice = error.advice().unwrap_or("look whether etcd runs there").to_owned();
    let what = format!("{} doesn't answer: {}", session.name(index), error.message());
    Finding::new(severity, "endpoint", what, "no lock can be acquired through it", advice)
}

fn leader(endpoint: &str, status: &StatusResponse) -> Finding {
    const CHECK: &str = "leader";
    if status.leader() != 0 {
        return Finding::good(CHECK, format!("{endpoint} follows a leader"));
    }
    Finding::new(
        Severity::Unusable,
        CHECK,
        format!("{endpoint} knows no leader"),
        "nothing can be written: no lock can be acquired, renewed or released through it",
        "start most of the cluster's members: look with `etcdctl endpoint status --cluster`",
    )
}

async fn alarms(session: &Session, index: usize) -> Finding {
    use etcd_client::{AlarmAction, AlarmType};
    const CHECK: &str = "alarms";
    let ask = |mut link: crate::session::Link| async move {
        link.client.alarm(AlarmAction::Get, AlarmType::None, None).await
    };
    let raised: Vec<AlarmType> = match session.ask(index, OPERATION, &ask).await {
        Ok(answer) => answer.alarms().iter().map(etcd_client::AlarmMember::alarm).collect(),
        Err(failed) => return not_told(CHECK, &failed.into_error(OPERATION)),
    };
    if raised.contains(&AlarmType::Nospace) {
        return Finding::new(
            Severity::Unusable,
            CHECK,
            "the alarm NOSPACE is raised",
            "the server takes no writes: no lock can be acquired; those held can be renewed and released",
            "compact, defragment, then `etcdctl alarm disarm`",
        );
    }
    if raised.is_empty() {
        return Finding::good(CHECK, "no alarm is raised");
    }
    let why = "a member's data is damaged: what it says of a lock may be wrong";
    Finding::new(Severity::Unusable, CHECK, format!("alarms are raised: {raised:?}"), why, "replace that member")
}

async fn access(session: &Session, answering: &[(usize, StatusResponse)]) -> Finding {
    const CHECK: &str = "access";
    for (index, _) in answering {
        // There is one: it has just answered.
        if session.link(*index, OPERATION).await.is_ok_and(|link| link.ignores_user) {
            return warning(
                CHECK,
                format!("a user is named, and {} asks for none: authentication is off", session.name(*index)),
                "whoever reaches the server can read and break every lock",
                "turn it on: `etcdctl auth enable`",
            );
        }
    }
    match (&session.settings.user, &session.settings.tls) {
        (Some((name, _)), Some(_)) => Finding::good(CHECK, format!("the user {name:?}, over TLS")),
        (None, Some(_)) => Finding::good(CHECK, "no user, over TLS"),
        (Some(_), None) => warning(
            CHECK,
            "a password, and no TLS",
            "whoever listens on the network learns the password, and can break every lock",
            "use etcds:// instead of etcd://",
        ),
        (None, None) => warning(
            CHECK,
            "no user and no TLS",
            "whoever reaches the server can read and break every lock",
            "turn on authentication and TLS, unless the network is closed",
        ),
    }
}

/// Does once what every lock does, which needs a quorum and the right to write; and sees what TTL is granted.
async fn try_out(shared: &Arc<Shared>) -> Vec<Finding> {
    let began = Instant::now();
    let (asked, granted) = match acquire_and_release(shared).await {
        Ok(done) => done,
        Err(error) => {
            let denied = error.kind() == ErrorKind::PermissionDenied;
            let severity = if denied { Severity::Denied } else { Severity::Unusable };
            let advice = error.advice().unwrap_or("mend what is said above first").to_owned();
            let what = error.message().to_owned();
            return vec![Finding::new(severity, "try-out", what, "no lock can be acquired", advice)];
        }
    };
    let took = began.elapsed() / 2;
    let mut findings = vec![if took > SLOW {
        warning(
            "try-out",
            format!("a lock was acquired and released; each took {took:.1?}"),
            "every acquire and release waits for a write to most members' disks",
            "give etcd a disk of its own, and look at its metric etcd_disk_wal_fsync_duration_seconds",
        )
    } else {
        Finding::good("try-out", format!("a lock was acquired and released; each took {took:.1?}"))
    }];
    findings.push(if granted > asked {
        warning(
            "ttl-floor",
            format!("the server grants no TTL below {granted}; asked was {asked}"),
            "a lock whose holder dies stays held for that long at least",
            "the floor is one and a half of the server's election timeouts (--election-timeout)",
        )
    } else {
        Finding::good("ttl-floor", format!("a TTL of {granted} is granted"))
    });
    findings
}

async fn acquire_and_release(shared: &Arc<Shared>) -> Result<(Ttl, Ttl), BackendError> {
    let asked = Ttl::new(shared.capabilities().min_ttl()).unwrap_or_default();
    let name = format!("distlock-doctor-{:08x}", fastrand::u32(..));
    let key =
        LockKey::new(name).map_err(|error| BackendError::new(ErrorKind::Protocol, OPERATION, error.to_string()))?;
    let request = AcquireRequest::new(key, asked);
    let attempt = shared.try_acquire(&request).await;
    let released = shared.release(&request.claim()).await;
    let granted = match attempt? {
        Attempt::Granted(grant) => grant.ttl(),
        Attempt::Held(_) => asked,
    };
    released?;
    Ok((asked, granted))
}

pub(crate) fn not_told(check: &'static str, error: &BackendError) -> Finding {
    let advice = error.advice().unwrap_or("ask somebody who may").to_owned();
    warning(check, format!("it isn't told: {}", error.message()), "it couldn't be checked", advice)
}

pub(crate) fn warning(
    check: &'static str,
    what: impl Into<String>,
    why: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding::new(Severity::Warning, check, what, why, advice)
}

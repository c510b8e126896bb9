//! Checks of a cluster before one depends on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::StatusResponse;
use lock_core::{AcquireRequest, Attempt, BackendError, ErrorKind, Finding, LockKey, Operation, Severity, Ttl};

use crate::backend::Shared;
use crate::error::Failed;
use crate::session::Session;

const OPERATION: Operation = Operation::Preflight;

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
    if let Some((index, _)) = answering.first() {
        findings.push(members(&session, *index).await);
        findings.push(alarms(&session, *index).await);
    }
    findings.push(access(&session));
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

fn version(endpoint: &str, version: &str) -> Finding {
    const CHECK: &str = "version";
    let what = format!("{endpoint} is etcd {version}");
    let advice = "update the server within its line";
    match faults(version) {
        Faults::None => Finding::good(CHECK, what),
        Faults::KeepAlives => warning(CHECK, what, KEEP_ALIVES_MAY_LIE, advice),
        Faults::OldLeaders => warning(CHECK, what, format!("{OLD_LEADERS_REVOKE}; {KEEP_ALIVES_MAY_LIE}"), advice),
        Faults::Unknown => warning(
            CHECK,
            format!("{endpoint} says that it is version {version:?}"),
            "this backend was tried with etcd 3.4",
            "try it out before you depend on it",
        ),
    }
}

const KEEP_ALIVES_MAY_LIE: &str = "before 3.4.38, 3.5.23 and 3.6.5 a keep-alive may be answered well for a lease that \
                                   was revoked; locks that are held are watched besides, which tells it";

const OLD_LEADERS_REVOKE: &str = "before 3.4.31 and 3.5.13 a leader that stood still (a slow disk, a paused machine) and \
                                  goes on revokes leases that were renewed with its successor: their locks are lost \
                                  before their time, and granted to the next";

/// What is known to be wrong with leases in a version.
#[derive(Debug, PartialEq, Eq)]
enum Faults {
    None,
    KeepAlives,
    /// And keep-alives: they were mended later.
    OldLeaders,
    Unknown,
}

fn faults(version: &str) -> Faults {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten()) {
        (Some(3), Some(4), Some(..31)) | (Some(3), Some(5), Some(..13)) => Faults::OldLeaders,
        (Some(3), Some(4), Some(..38)) | (Some(3), Some(5), Some(..23)) | (Some(3), Some(6), Some(..5)) => {
            Faults::KeepAlives
        }
        (Some(3), Some(4..), Some(_)) => Faults::None,
        _ => Faults::Unknown,
    }
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

async fn members(session: &Session, index: usize) -> Finding {
    const CHECK: &str = "quorum";
    let asked = session.ask(index, OPERATION, &|mut link| async move { link.client.member_list().await }).await;
    let count = match asked {
        Ok(list) => list.members().len(),
        Err(failed) => return not_told(CHECK, &failed.into_error(OPERATION)),
    };
    let survives = count.saturating_sub(1) / 2;
    let what = format!("of {count} members {survives} may fail");
    if survives == 0 {
        let why = "when one member is down no lock can be acquired, and those held are lost after their TTL";
        return warning(CHECK, what, why, "run three members, or live with it");
    }
    if session.endpoints() == 1 {
        let why = "only one endpoint is named: while that member is down, the others aren't asked";
        return warning(CHECK, what, why, "name all endpoints: etcd://h1:2379,h2:2379,h3:2379");
    }
    Finding::good(CHECK, what)
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

fn access(session: &Session) -> Finding {
    const CHECK: &str = "access";
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

fn not_told(check: &'static str, error: &BackendError) -> Finding {
    let advice = error.advice().unwrap_or("ask somebody who may").to_owned();
    warning(check, format!("it isn't told: {}", error.message()), "it couldn't be checked", advice)
}

fn warning(check: &'static str, what: impl Into<String>, why: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding::new(Severity::Warning, check, what, why, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_known_faults_of_leases_are_told() {
        for (version, judged) in [
            ("3.4.23", Faults::OldLeaders),
            ("3.4.30", Faults::OldLeaders),
            ("3.4.31", Faults::KeepAlives),
            ("3.4.37", Faults::KeepAlives),
            ("3.4.38", Faults::None),
            ("3.5.12", Faults::OldLeaders),
            ("3.5.13", Faults::KeepAlives),
            ("3.5.22", Faults::KeepAlives),
            ("3.5.23", Faults::None),
            ("3.6.0", Faults::KeepAlives),
            ("3.6.4", Faults::KeepAlives),
            ("3.6.5", Faults::None),
            ("3.7.0-rc.1", Faults::None),
            ("3.3.27", Faults::Unknown),
            ("", Faults::Unknown),
        ] {
            assert_eq!(faults(version), judged, "{version}");
        }
        let told = version("h1:2379", "3.4.23");
        assert!(told.why().contains("3.4.31") && told.why().contains("3.4.38"), "{told:?}");
    }
}

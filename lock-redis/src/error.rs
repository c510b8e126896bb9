//! From the driver's and the server's errors to the backend's, each with what the reader can do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{BackendError, ErrorKind, Operation, Outcome, Retry};
use redis::RedisError;

/// Why a command has no good answer. Names the server, never the password.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// There is no connection, so nothing was sent.
    NoConnection { to: Arc<str>, error: RedisError },
    /// There is no connection within the limit, so nothing was sent.
    NotConnectedWithin { to: Arc<str>, limit: Duration },
    /// It may have been sent, and the connection broke.
    Broken { to: Arc<str>, error: RedisError },
    /// It may have been sent, and no answer came.
    NoAnswer { to: Arc<str>, limit: Duration },
    /// The server said no.
    Refused { to: Arc<str>, error: RedisError },
    /// No node of the cluster has the slot at present, so nothing was sent.
    NoMaster { to: Arc<str>, slot: u16 },
    /// The answer isn't what the step answers.
    Odd { to: Arc<str>, answer: String },
}

/// What a server's word means: kind, whether to try again, whether it may have been done, what to do.
struct Verdict(ErrorKind, Retry, Outcome, &'static str);

impl Failure {
    /// As the backend's error in `operation`.
    pub(crate) fn during(self, operation: Operation) -> BackendError {
        let message = self.to_string();
        let Verdict(kind, retry, outcome, advice) = self.verdict();
        let error = BackendError::new(kind, operation, message).with_retry(retry).with_outcome(outcome);
        let error = if advice.is_empty() { error } else { error.with_advice(advice) };
        match self {
            Self::NoConnection { error: source, .. }
            | Self::Broken { error: source, .. }
            | Self::Refused { error: source, .. } => error.with_source(source),
            _ => error,
        }
    }

    /// The server's error code, such as `MOVED`.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } | Self::NoConnection { error, .. } => error.code(),
            _ => None,
        }
    }

    /// What the server said after the code.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => error.detail(),
            _ => None,
        }
    }

    /// Whether the server, or the way to it, may be gone.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::NoMaster { .. } | Self::Odd { .. })
            || matches!(self.code(), Some("READONLY" | "MASTERDOWN"))
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::NoConnection { error, .. } => match error.code() {
                // A server that is full, still loads, or has other words for "later".
                Some(code) => {
                    let Verdict(kind, retry, _, advice) = of_code(code, error.detail().unwrap_or_default());
                    Verdict(kind, retry, Outcome::NotApplied, advice)
                }
                None => of_connecting(error),
            },
            Self::NotConnectedWithin { .. } => Verdict(
                ErrorKind::Unavailable,
                Retry::Transient,
                Outcome::NotApplied,
                "is the server running, and is the address right?",
            ),
            Self::Broken { .. } => Verdict(ErrorKind::Unavailable, Retry::Transient, Outcome::Unknown, ""),
            Self::NoAnswer { .. } => Verdict(
                ErrorKind::TimedOut,
                Retry::Transient,
                Outcome::Unknown,
                "look at the server with `redis-cli --latency` and `SLOWLOG GET`",
            ),
            Self::Refused { error, .. } => {
                of_code(error.code().unwrap_or_default(), error.detail().unwrap_or_default())
            }
            Self::NoMaster { .. } => Verdict(
                ErrorKind::Unavailable,
                Retry::Transient,
                Outcome::NotApplied,
                "look with `CLUSTER INFO` and `CLUSTER SLOTS`; a failover may be under way",
            ),
            Self::Odd { .. } => Verdict(
                ErrorKind::Protocol,
                Retry::Permanent,
                Outcome::Unknown,
                "is that a Redis or Valkey server, and is nothing in between that changes answers?",
            ),
        }
    }
}

/// What a server answered, as far as a message can bear it.
pub(crate) fn shown(answer: &impl fmt::Debug) -> String {
    format!("{answer:?}").chars().take(200).collect()
}

fn of_connecting(error: &RedisError) -> Verdict {
    use redis::ErrorKind as Driver;
    const PASSWORD: &str = "check user and password in the URL, and `ACL LIST` on the server";
    let (kind, retry, advice) = match error.kind() {
        Driver::AuthenticationFailed => (ErrorKind::PermissionDenied, Retry::Permanent, PASSWORD),
        Driver::RESP3NotSupported => {
            (ErrorKind::InvalidConfiguration, Retry::Permanent, "Redis 7.0 or newer, or Valkey, is needed")
        }
        Driver::InvalidClientConfig => (ErrorKind::InvalidConfiguration, Retry::Permanent, "check the URL"),
        Driver::MasterNameNotFoundBySentinel => {
            (ErrorKind::Unavailable, Retry::Transient, "check the master's name with `SENTINEL MASTERS`")
        }
        // rustls' errors come in the clothes of an I/O error.
        _ if is_tls(error) => (
            ErrorKind::Unavailable,
            Retry::Permanent,
            "check the certificates: `ca=` names the authority, `cert=` and `key=` this client's own",
        ),
        _ => (ErrorKind::Unavailable, Retry::Transient, "is the server running, and is the address right?"),
    };
    Verdict(kind, retry, Outcome::NotApplied, advice)
}

fn is_tls(error: &RedisError) -> bool {
    type Shared = Arc<dyn std::error::Error + Send + Sync>;
    // The driver shares an I/O error, and that hides what it was made of from `source`.
    let shared = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Shared>());
    let io = shared.and_then(|shared| shared.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

/// The first word of a server's error decides.
fn of_code(code: &str, detail: &str) -> Verdict {
    use ErrorKind::{Conflict, InvalidConfiguration, PermissionDenied, Protocol, ResourceExhausted, Unavailable};
    use Outcome::{NotApplied, Unknown};
    use Retry::{Permanent, Transient};
    match code {
        "LOADING" => Verdict(Unavailable, Transient, NotApplied, "the server is reading its data; wait"),
        "BUSY" => Verdict(Unavailable, Transient, NotApplied, "another script runs too long: `SCRIPT KILL` ends it"),
        "READONLY" => {
            Verdict(Unavailable, Transient, NotApplied, "this is a replica now; name the master, or use Sentinel")
        }
        "MOVED" | "ASK" => Verdict(
            Unavailable,
            Transient,
            NotApplied,
            "with redis+cluster:// it passes when the slot has moved; another URL can't be used with a cluster",
        ),
        "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" => {
            Verdict(Unavailable, Transient, NotApplied, "look with `CLUSTER INFO` or `INFO replication`")
        }
        "NOREPLICAS" => {
            Verdict(Unavailable, Transient, NotApplied, "too few replicas are connected (min-replicas-to-write)")
        }
        "NOSCRIPT" => {
            Verdict(Unavailable, Transient, NotApplied, "scripts were flushed; the next try sends them again")
        }
        "OOM" => Verdict(
            ResourceExhausted,
            Transient,
            NotApplied,
            "the server is full (maxmemory): locks can be renewed and released, not acquired; make room",
        ),
        "MISCONF" => {
            Verdict(ResourceExhausted, Transient, NotApplied, "the server can't save to its disk and refuses writes")
        }
        "WRONGTYPE" => {
            Verdict(Conflict, Permanent, NotApplied, "something that isn't a lock has this name; use another `prefix=`")
        }
        "NOAUTH" | "WRONGPASS" => Verdict(
            PermissionDenied,
            Permanent,
            NotApplied,
            "check user and password in the URL, and `ACL LIST` on the server",
        ),
        "NOPERM" => Verdict(
            PermissionDenied,
            Permanent,
            NotApplied,
            "the user needs certain commands, keys and channels: see the rule in docs/backends/redis.md",
        ),
        "ERR" if detail.contains("max number of clients") => {
            Verdict(ResourceExhausted, Transient, NotApplied, "the server has as many clients as maxclients allows")
        }
        "ERR" if detail.contains("DB index") || detail.contains("SELECT is not allowed") => Verdict(
            InvalidConfiguration,
            Permanent,
            NotApplied,
            "the server has no such database; check the number in the URL",
        ),
        // Not known to be refused as a whole: a script may have stopped half-way.
        _ => Verdict(Protocol, Permanent, Unknown, ""),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection { to, error } => write!(f, "can't connect to {to}: {error}"),
            Self::NotConnectedWithin { to, limit } => write!(f, "can't connect to {to}: no answer within {limit:?}"),
            Self::Broken { to, error } => write!(f, "the connection to {to} broke: {error}"),
            Self::NoAnswer { to, limit } => write!(f, "{to} gave no answer within {limit:?}"),
            Self::Refused { to, error } => {
                let (code, detail) = (error.code().unwrap_or("error"), error.detail().unwrap_or_default());
                write!(f, "{to} said {code} {detail}")
            }
            Self::NoMaster { to, slot } => write!(f, "no node of {to} has the slot {slot} at present"),
            Self::Odd { to, answer } => write!(f, "{to} answered what makes no sense: {answer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What servers say (7.0, word for word), and what that means.
    #[test]
    fn fault_36_each_word_of_a_server_has_its_kind() {
        use ErrorKind::{Conflict, InvalidConfiguration, PermissionDenied, Protocol, ResourceExhausted, Unavailable};
        use Outcome::{NotApplied, Unknown};
        for (line, kind, is_transient, outcome) in [
            ("LOADING Redis is loading the dataset in memory", Unavailable, true, NotApplied),
            (
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
                Unavailable,
                true,
                NotApplied,
            ),
            ("READONLY You can't write against a read only replica.", Unavailable, true, NotApplied),
            ("MOVED 3999 127.0.0.1:6381", Unavailable, true, NotApplied),
            ("ASK 3999 127.0.0.1:6381", Unavailable, true, NotApplied),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Unavailable, true, NotApplied),
            ("CLUSTERDOWN The cluster is down", Unavailable, true, NotApplied),
            (
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
                Unavailable,
                true,
                NotApplied,
            ),
            ("NOREPLICAS Not enough good replicas to write.", Unavailable, true, NotApplied),
            ("NOSCRIPT No matching script. Please use EVAL.", Unavailable, true, NotApplied),
            ("OOM command not allowed when used memory > 'maxmemory'.", ResourceExhausted, true, NotApplied),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                ResourceExhausted,
                true,
                NotApplied,
            ),
            ("ERR max number of clients reached", ResourceExhausted, true, NotApplied),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Conflict, false, NotApplied),
            ("NOAUTH Authentication required.", PermissionDenied, false, NotApplied),
            ("WRONGPASS invalid username-password pair or user is disabled.", PermissionDenied, false, NotApplied),
            ("NOPERM User app has no permissions to run the 'set' command", PermissionDenied, false, NotApplied),
            ("ERR DB index is out of range", InvalidConfiguration, false, NotApplied),
            ("ERR unknown command 'EVALSHA'", Protocol, false, Unknown),
            ("SOMETHING new", Protocol, false, Unknown),
        ] {
            let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
            let error = value.extract_error().unwrap_err();
            let failure = Failure::Refused { to: "h:1".into(), error };
            let error = failure.during(Operation::Acquire);
            assert_eq!((error.kind(), error.is_transient(), error.outcome()), (kind, is_transient, outcome), "{line}");
            let (code, detail) = line.split_once(' ').unwrap();
            assert!(error.message().contains(code) && error.message().contains(detail), "{line}: {error}");
        }
    }

    #[test]
    fn what_was_never_sent_is_not_applied_and_what_may_have_been_is_unknown() {
        let refused = || redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let (to, limit): (Arc<str>, _) = ("h:1".into(), Duration::from_secs(1));
        for (failure, kind, outcome) in [
            (Failure::NoConnection { to: to.clone(), error: refused() }, ErrorKind::Unavailable, Outcome::NotApplied),
            (Failure::NotConnectedWithin { to: to.clone(), limit }, ErrorKind::Unavailable, Outcome::NotApplied),
            (Failure::Broken { to: to.clone(), error: refused() }, ErrorKind::Unavailable, Outcome::Unknown),
            (Failure::NoMaster { to: to.clone(), slot: 7 }, ErrorKind::Unavailable, Outcome::NotApplied),
            (Failure::NoAnswer { to, limit }, ErrorKind::TimedOut, Outcome::Unknown),
        ] {
            let error = failure.during(Operation::Renew);
            assert_eq!((error.kind(), error.outcome(), error.is_transient()), (kind, outcome, true), "{error}");
            assert!(error.message().contains("h:1"), "{error}");
        }
    }
}

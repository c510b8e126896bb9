//! What a server's words mean: the kind of error, whether to try again, whether it may have been done, what to do.

use std::borrow::Cow;

use lock_core::ErrorKind::{
    self, Conflict, InvalidConfiguration, PermissionDenied, Protocol, ResourceExhausted, Unavailable,
};
use lock_core::Outcome::{self, NotApplied, Unknown};
use lock_core::Retry::{self, Permanent, Transient};

/// Where the rights that are needed are written down.
const RULE: &str = "the whole rule is in docs/backends/redis.md";
pub(super) const PASSWORD: &str = "check user and password in the URL, and `ACL LIST` on the server";

/// What a failure means.
pub(super) struct Verdict {
    pub(super) kind: ErrorKind,
    pub(super) retry: Retry,
    pub(super) outcome: Outcome,
    /// Empty where there is none.
    pub(super) advice: Cow<'static, str>,
}

impl Verdict {
    pub(super) fn new(kind: ErrorKind, retry: Retry, outcome: Outcome, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, retry, outcome, advice: advice.into() }
    }
}

/// Of an error that the server answered: its first word, and the rest.
pub(super) fn of_refusal(code: &str, detail: &str) -> Verdict {
    // A script isn't rolled back: what it did before one of its commands was refused is done.
    let outcome = if is_from_within_a_script(detail) { Unknown } else { NotApplied };
    match code {
        "WRONGTYPE" => Verdict::new(
            Conflict,
            Permanent,
            outcome,
            "something that isn't a lock has this name; use another `prefix=`",
        ),
        "NOAUTH" | "WRONGPASS" => Verdict::new(PermissionDenied, Permanent, NotApplied, PASSWORD),
        "NOPERM" => Verdict::new(PermissionDenied, Permanent, outcome, of_missing_right(detail)),
        "ERR" => of_other_words(detail, outcome),
        _ => of_state(code),
    }
}

/// Of what passes. A server that is in such a state refuses a script's first write, if not the script as a whole, and
/// doesn't enter one in its middle (nor is memory ever full for a script that has written): nothing was done.
fn of_state(code: &str) -> Verdict {
    let (kind, advice) = match code {
        "LOADING" => (Unavailable, "the server is reading its data; wait"),
        "BUSY" => (Unavailable, "another script runs too long: `SCRIPT KILL` ends it"),
        "READONLY" => (Unavailable, "this is a replica now; name the master, or use Sentinel"),
        "MOVED" | "ASK" => (
            Unavailable,
            "with redis+cluster:// it passes when the slot has moved; another URL can't be used with a cluster",
        ),
        "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" => (Unavailable, "look with `CLUSTER INFO` or `INFO replication`"),
        "NOREPLICAS" => (Unavailable, "too few replicas are connected (min-replicas-to-write)"),
        "NOSCRIPT" => (Unavailable, "scripts were flushed; the next try sends them again"),
        "OOM" => (
            ResourceExhausted,
            "the server is full (maxmemory): locks can be renewed and released, not acquired; make room",
        ),
        "MISCONF" => (ResourceExhausted, "the server can't save to its disk and refuses writes"),
        // Not known to be refused as a whole.
        _ => return Verdict::new(Protocol, Permanent, Unknown, ""),
    };
    Verdict::new(kind, Transient, NotApplied, advice)
}

/// Of errors whose code says nothing. From within scripts come here what would have a code elsewhere.
fn of_other_words(detail: &str, outcome: Outcome) -> Verdict {
    let says = |words: &str| detail.contains(words);
    if says("max number of clients") {
        let advice = "the server has as many clients as maxclients allows";
        return Verdict::new(ResourceExhausted, Transient, NotApplied, advice);
    }
    if says("DB index") || says("SELECT is not allowed") {
        let advice = "the server has no such database; check the number in the URL";
        return Verdict::new(InvalidConfiguration, Permanent, NotApplied, advice);
    }
    // The driver takes the code from a refusal to select a database.
    if says("ACL failure in script") || says("The user executing the script can't") || says("has no permissions to") {
        return Verdict::new(PermissionDenied, Permanent, outcome, of_missing_right(detail));
    }
    if says("non local key in a cluster node") || says("while the cluster is down") {
        let advice = "a slot is being moved, or a failover is under way: look with `CLUSTER INFO`";
        return Verdict::new(Unavailable, Transient, outcome, advice);
    }
    // A script may have stopped half-way.
    Verdict::new(Protocol, Permanent, Unknown, "")
}

/// Redis 7.0 and what came after it end such errors with `script: HASH, on @user_script:LINE.`
fn is_from_within_a_script(detail: &str) -> bool {
    detail.contains("on @user_script:")
}

/// What to allow, as far as the server tells what is missing.
fn of_missing_right(detail: &str) -> String {
    if let Some(command) = command_in(detail) {
        return format!("let the user run it: `ACL SETUSER USER +{command}`; {RULE}");
    }
    if detail.contains("channel") {
        return format!("let the user use the locks' channels: `ACL SETUSER USER &PREFIX* &{{PREFIX*`; {RULE}");
    }
    if detail.contains("key") {
        return format!("let the user use the locks' keys: `ACL SETUSER USER ~PREFIX* ~{{PREFIX*`; {RULE}");
    }
    // Redis 7.0 doesn't tell which command of a script it was.
    format!("a command that locks need isn't allowed: `distlock doctor` tells which; {RULE}")
}

/// The command in "... no permissions to run the 'cluster|slots' command".
fn command_in(detail: &str) -> Option<&str> {
    detail.split_once("run the '")?.1.split_once("' command").map(|(command, _)| command)
}

#[cfg(test)]
mod tests {
    use lock_core::Operation;

    use super::super::Failure;
    use super::*;

    fn judged(line: &str) -> lock_core::BackendError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let error = value.extract_error().unwrap_err();
        let error = Failure::Refused { to: "h:1".into(), error }.during(Operation::Acquire);
        let (code, detail) = line.split_once(' ').unwrap();
        assert!(error.message().contains(code) && error.message().contains(detail), "{line}: {error}");
        error
    }

    /// What servers say (7.0, word for word), and that nothing was done.
    #[test]
    fn fault_36_each_word_of_a_server_has_its_kind() {
        for (line, kind, is_transient) in [
            ("LOADING Redis is loading the dataset in memory", Unavailable, true),
            (
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
                Unavailable,
                true,
            ),
            ("READONLY You can't write against a read only replica.", Unavailable, true),
            ("MOVED 3999 127.0.0.1:6381", Unavailable, true),
            ("ASK 3999 127.0.0.1:6381", Unavailable, true),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Unavailable, true),
            ("CLUSTERDOWN The cluster is down", Unavailable, true),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Unavailable, true),
            ("NOREPLICAS Not enough good replicas to write.", Unavailable, true),
            ("NOSCRIPT No matching script. Please use EVAL.", Unavailable, true),
            ("OOM command not allowed when used memory > 'maxmemory'.", ResourceExhausted, true),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                ResourceExhausted,
                true,
            ),
            ("ERR max number of clients reached", ResourceExhausted, true),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Conflict, false),
            ("NOAUTH Authentication required.", PermissionDenied, false),
            ("WRONGPASS invalid username-password pair or user is disabled.", PermissionDenied, false),
            ("NOPERM User app has no permissions to run the 'set' command", PermissionDenied, false),
            ("ERR DB index is out of range", InvalidConfiguration, false),
        ] {
            let error = judged(line);
            assert_eq!(
                (error.kind(), error.is_transient(), error.outcome()),
                (kind, is_transient, NotApplied),
                "{line}"
            );
            assert!(error.advice().is_some(), "{line}");
        }
        for unknown in ["ERR unknown command 'EVALSHA'", "SOMETHING new"] {
            let error = judged(unknown);
            assert_eq!((error.kind(), error.is_transient(), error.outcome()), (Protocol, false, Unknown), "{unknown}");
        }
    }

    /// What comes from within scripts (7.0, and Redis 8 where its words are others).
    #[test]
    fn what_stops_a_script_in_its_middle_may_have_been_applied() {
        const WHERE: &str = "script: d3c21d0c2b9ca22f82737626a27bcaf5d288f99f, on @user_script:7.";
        for (line, kind, is_transient, outcome) in [
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Conflict, false, Unknown),
            (
                "ERR The user executing the script can't run this command or subcommand",
                PermissionDenied,
                false,
                Unknown,
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned in the command",
                PermissionDenied,
                false,
                Unknown,
            ),
            (
                "ERR ACL failure in script: User app has no permissions to run the 'pexpire' command",
                PermissionDenied,
                false,
                Unknown,
            ),
            ("ERR Script attempted to access a non local key in a cluster node", Unavailable, true, Unknown),
            ("ERR Script attempted to execute a command while the cluster is down", Unavailable, true, Unknown),
            ("ERR Unknown Redis command called from script", Protocol, false, Unknown),
            // Those are told of the first write.
            ("OOM command not allowed when used memory > 'maxmemory'.", ResourceExhausted, true, NotApplied),
            ("READONLY You can't write against a read only replica.", Unavailable, true, NotApplied),
            ("NOREPLICAS Not enough good replicas to write.", Unavailable, true, NotApplied),
        ] {
            let error = judged(&format!("{line} {WHERE}"));
            assert_eq!((error.kind(), error.is_transient(), error.outcome()), (kind, is_transient, outcome), "{line}");
        }
    }

    #[test]
    fn a_missing_right_is_named() {
        for (line, advice) in [
            ("NOPERM this user has no permissions to run the 'cluster|slots' command", "+cluster|slots`"),
            ("ERR ACL failure in script: User app has no permissions to run the 'lpop' command script: x", "+lpop`"),
            ("ERR The user executing the script can't run this command or subcommand script: x", "doctor"),
            ("NOPERM No permissions to access a key", "~PREFIX* ~{PREFIX*`"),
            ("ERR ACL failure in script: No permissions to access a channel script: x", "&PREFIX* &{PREFIX*`"),
        ] {
            let error = judged(line);
            assert!(error.advice().is_some_and(|said| said.contains(advice)), "{line}: {error}");
        }
    }
}

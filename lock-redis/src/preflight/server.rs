//! What a server says of itself, and what that means for locks.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use lock_core::{Finding, Severity};

use crate::connector::Address;

/// Clocks that differ by more are worth a word.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// The same for servers that may follow each other.
const SUCCESSORS_APART: Duration = Duration::from_secs(1);
/// The oldest server whose commands suffice (`PEXPIRE ... GT`, sharded channels, errors told from within scripts).
const OLDEST: (u32, u32) = (7, 0);

/// The lines of INFO.
pub(super) type Info = HashMap<String, String>;

pub(super) fn version(shown: &str, info: &Info) -> Finding {
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
            format!("{shown} is {product} {text}"),
            "its scripts lack commands that locks need",
            "use Redis 7.0 or newer, or Valkey",
        );
    }
    Finding::good(CHECK, format!("{shown} is {product} {text}"))
}

pub(super) fn eviction(shown: &str, info: &Info) -> Finding {
    const CHECK: &str = "eviction";
    let (policy, limit) = (said(info, "maxmemory_policy"), said(info, "maxmemory"));
    if policy == "noeviction" {
        return Finding::good(CHECK, format!("{shown} never evicts keys"));
    }
    let now = if limit == "0" { "once maxmemory is set" } else { "when memory runs out" };
    Finding::new(
        Severity::Warning,
        CHECK,
        format!("{shown} evicts keys {now}: maxmemory-policy is {policy}"),
        "an evicted lock is free while its holder still works",
        "use a server of its own for locks, with `maxmemory-policy noeviction`",
    )
}

/// `saves`: what CONFIG says of it, if it says anything.
pub(super) fn persistence(shown: &str, info: &Info, saves: Option<&str>) -> Finding {
    const CHECK: &str = "persistence";
    if said(info, "aof_enabled") == "1" {
        return Finding::good(CHECK, format!("{shown} writes an append-only file"));
    }
    let (what, advice) = match saves {
        Some("") => ("keeps nothing on disk", "turn on `appendonly yes`"),
        Some(_) => ("saves now and then (RDB)", "turn on `appendonly yes`, so that the last seconds survive, too"),
        None => ("writes no append-only file", "turn on `appendonly yes`"),
    };
    Finding::new(
        Severity::Warning,
        CHECK,
        format!("{shown} {what}"),
        "after a restart, locks may be free whose holders still work; they find out at their next renewal, and tokens \
         keep rising",
        advice,
    )
}

/// `wanted`: how many must have a lock.
pub(super) fn replicas(shown: &str, info: &Info, wanted: u32) -> Finding {
    const CHECK: &str = "replicas";
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

pub(super) fn clock(shown: &str, theirs: SystemTime, ours: SystemTime) -> Finding {
    const CHECK: &str = "clock";
    let apart = theirs.duration_since(ours).unwrap_or_else(|error| error.duration());
    if apart > CLOCKS_APART {
        return Finding::new(
            Severity::Warning,
            CHECK,
            format!("the clocks of {shown} and of this host are {} s apart", apart.as_secs()),
            "leases don't mind; tokens are made from the server's clock, and if that is set back *and* its data is \
             lost, they fall",
            "let NTP set both clocks",
        );
    }
    Finding::good(CHECK, format!("the clock of {shown} agrees with this host's"))
}

/// `apart`: the clocks of a master and of a replica that may follow it.
pub(super) fn clock_of_replica(master: &str, replica: &str, apart: Duration) -> Finding {
    const CHECK: &str = "replica-clock";
    if apart > SUCCESSORS_APART {
        return Finding::new(
            Severity::Warning,
            CHECK,
            format!("the clocks of {master} and of its replica {replica} are {:.1} s apart", apart.as_secs_f64()),
            "after a failover leases end by as much earlier or later; and a token may fall if the replica lacks the last \
             one and its clock is behind",
            "let NTP set the clocks of all servers",
        );
    }
    Finding::good(CHECK, format!("the clocks of {master} and of its replica {replica} agree"))
}

/// Where the replicas are, as a master sees them.
pub(super) fn replicas_of(info: &Info) -> Vec<Address> {
    let lines = (0..).map_while(|n| info.get(&format!("slave{n}")));
    let address = |line: &String| {
        let of = |name: &str| line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        Some(Address::new(of("ip")?, of("port")?.parse().ok()?))
    };
    lines.filter_map(address).collect()
}

fn said<'a>(info: &'a Info, name: &str) -> &'a str {
    info.get(name).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pairs: &[(&str, &str)]) -> Info {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_server_that_is_too_old_is_unusable() {
        for (info, severity, word) in [
            (told(&[("redis_version", "6.2.14")]), Severity::Unusable, "Redis 6.2.14"),
            (told(&[("redis_version", "7.0.15")]), Severity::Good, "Redis 7.0.15"),
            (told(&[("redis_version", "7.2.4"), ("valkey_version", "8.0.1")]), Severity::Good, "Valkey 8.0.1"),
            (told(&[]), Severity::Unusable, "h:1"),
        ] {
            let finding = version("h:1", &info);
            assert_eq!(finding.severity(), severity, "{finding:?}");
            assert!(finding.what().contains(word), "{finding:?}");
        }
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_worth_a_warning_either_way() {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let off = Duration::from_secs(130);
        for theirs in [ours + off, ours - off] {
            let finding = clock("h:1", theirs, ours);
            assert_eq!(finding.severity(), Severity::Warning);
            assert!(finding.what().contains("130 s apart"), "{finding:?}");
        }
        assert_eq!(clock("h:1", ours + Duration::from_secs(1), ours).severity(), Severity::Good);
        assert_eq!(clock_of_replica("h:1", "h:2", Duration::from_millis(1_001)).severity(), Severity::Warning);
        assert_eq!(clock_of_replica("h:1", "h:2", Duration::from_millis(100)).severity(), Severity::Good);
    }

    #[test]
    fn replicas_are_counted_against_what_is_asked_for() {
        let master = told(&[("role", "master"), ("connected_slaves", "1")]);
        let severities = [0, 1, 2].map(|wanted| replicas("h:1", &master, wanted).severity());
        assert_eq!(severities, [Severity::Warning, Severity::Good, Severity::Unusable]);
        let line = "ip=10.0.0.2,port=6380,state=online,offset=14,lag=0";
        assert_eq!(replicas_of(&told(&[("slave0", line), ("slave1", "?")])), [Address::new("10.0.0.2", 6_380)]);
        assert_eq!(replicas("h:1", &told(&[("role", "slave")]), 0).severity(), Severity::Unusable);
    }
}

//! Which versions of etcd have faults that a lock meets.

use lock_core::Finding;

use crate::preflight::warning;

pub(crate) fn version(endpoint: &str, version: &str) -> Finding {
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

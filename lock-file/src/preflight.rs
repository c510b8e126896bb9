//! Checks of a directory before one depends on it.

use std::io;

use lock_core::{Finding, Severity};

use crate::acquire::discard;
use crate::os;
use crate::shared::Shared;
use crate::{directory, network};

/// All checks, in the order in which a reader should mend them.
pub(crate) fn run(shared: &Shared) -> Vec<Finding> {
    let mut findings = vec![privacy(shared), file_system(shared)];
    findings.extend(try_out(shared));
    #[cfg(unix)]
    findings.extend([room(shared), descriptors()]);
    #[cfg(target_os = "linux")]
    findings.push(watch_limits());
    findings
}

fn privacy(shared: &Shared) -> Finding {
    const CHECK: &str = "directory-mode";
    let shown = shared.root.display();
    match directory::check_private(&shared.root) {
        Ok(()) => Finding::good(CHECK, format!("{shown} is this user's alone")),
        Err(error) => Finding::new(
            Severity::Warning,
            CHECK,
            error.message(),
            "whoever may write there can delete locks, and take them away from their holders",
            error.advice().unwrap_or_default(),
        ),
    }
}

fn file_system(shared: &Shared) -> Finding {
    const CHECK: &str = "file-system";
    match network::untrusted(&shared.root) {
        Ok(None) => Finding::good(CHECK, "the file system is a local one"),
        Ok(Some(name)) => Finding::new(
            Severity::Warning,
            CHECK,
            format!("{} is on a network file system ({name})", shared.root.display()),
            "the locks of one host say nothing to another there, or not always",
            "use a local directory, or a network backend: redis, etcd, consul",
        ),
        Err(error) => failed(CHECK, shared, &error),
    }
}

/// Does once what every lock does: create, lock, publish; and sees that the kernel excludes.
fn try_out(shared: &Shared) -> Vec<Finding> {
    let (file, from) = match shared.temporary(None) {
        Ok(made) => made,
        Err(error) => return vec![failed("writable", shared, &error)],
    };
    let published = from.with_extension("published");
    let outcome = try_steps(&file, &from, &published);
    discard(&from);
    discard(&published);
    match outcome {
        Ok(findings) => findings,
        Err(error) => vec![failed("writable", shared, &error)],
    }
}

fn try_steps(file: &os::OwnFile, from: &std::path::Path, to: &std::path::Path) -> io::Result<Vec<Finding>> {
    file.write(b"a check of distlock's\n")?;
    let mut findings = vec![Finding::good("writable", "files can be created and written")];
    let excludes = !os::nobody_locks(from, &os::open_record(from)?, None)?;
    findings.push(if excludes {
        Finding::good("kernel-locks", "the kernel's file locks exclude")
    } else {
        Finding::new(
            Severity::Unusable,
            "kernel-locks",
            "a file lock of ours was given to a second opener as well",
            "every lock would look as if its holder had crashed, and be taken over at once",
            "use a directory on a local file system such as ext4, xfs, btrfs, tmpfs, APFS or NTFS",
        )
    });
    os::publish(from, to)?;
    std::fs::write(from, b"")?;
    findings.push(match os::publish(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Finding::good("no-replace", "publishing fails where something is in place")
        }
        Err(error) => return Err(error),
        Ok(()) => Finding::new(
            Severity::Unusable,
            "no-replace",
            "a file was published over another one",
            "two processes could be granted one lock",
            "use a directory on a local file system such as ext4, xfs, btrfs, tmpfs, APFS or NTFS",
        ),
    });
    Ok(findings)
}

#[cfg(unix)]
fn room(shared: &Shared) -> Finding {
    /// Room below which a warning is due: some hundreds of records.
    const MIN_BYTES: u64 = 16 * 1024 * 1024;
    const MIN_FILES: u64 = 1000;
    const CHECK: &str = "room";
    let shown = shared.root.display();
    let found = match rustix::fs::statvfs(&shared.root) {
        Ok(found) => found,
        Err(error) => return failed(CHECK, shared, &error.into()),
    };
    let bytes = found.f_bavail.saturating_mul(found.f_frsize);
    // Some file systems have no fixed number of files, and say zero of all.
    let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
    if bytes < MIN_BYTES || files < MIN_FILES {
        return Finding::new(
            Severity::Warning,
            CHECK,
            format!("room is left for {bytes} bytes and {files} files"),
            "on a full disk no lock can be acquired anew; those held can be renewed and released, unless the file \
             system copies on write (btrfs, ZFS)",
            format!("make room: look with `df -h {shown}` and `df -i {shown}`"),
        );
    }
    Finding::good(CHECK, format!("{} MiB are free", bytes >> 20))
}

#[cfg(unix)]
fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    enough_descriptors(limit.unwrap_or(u64::MAX))
}

#[cfg(unix)]
fn enough_descriptors(limit: u64) -> Finding {
    const CHECK: &str = "open-files";
    /// Below what systems give by default (1024, on macOS 256): 64 released records alone stay open.
    const MIN_DESCRIPTORS: u64 = 256;
    if limit < MIN_DESCRIPTORS {
        return Finding::new(
            Severity::Warning,
            CHECK,
            format!("this process may open {limit} files"),
            "each lock held, and each place in a queue, is an open file",
            "raise the limit with `ulimit -n`, or LimitNOFILE= of the service, for thousands of locks",
        );
    }
    Finding::good(CHECK, format!("this process may open {limit} files"))
}

#[cfg(target_os = "linux")]
fn watch_limits() -> Finding {
    const CHECK: &str = "inotify";
    let read = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
    };
    let (instances, watches) = (read("max_user_instances"), read("max_user_watches"));
    let probe = notify::recommended_watcher(|_: notify::Result<notify::Event>| {});
    if let Err(error) = probe {
        return Finding::new(
            Severity::Warning,
            CHECK,
            format!("no directory watch can be had: {error}"),
            format!(
                "who waits then asks every {:?} instead of being told, and comes late: after a release \
                 the first in the queue goes first for {:?} only",
                crate::wait::UNTOLD,
                crate::queue::GRACE
            ),
            "raise fs.inotify.max_user_instances with `sysctl`: each waiting process needs one",
        );
    }
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unknown".to_owned(), |limit| limit.to_string());
    let (instances, watches) = (shown(instances), shown(watches));
    Finding::good(CHECK, format!("{instances} waiting processes and {watches} watches are allowed per user"))
}

fn failed(check: &'static str, shared: &Shared, error: &io::Error) -> Finding {
    let severity = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Severity::Denied,
        _ => Severity::Unusable,
    };
    let shown = shared.root.display();
    Finding::new(
        severity,
        check,
        format!("{shown}: {error}"),
        "no lock can be acquired there",
        format!("look with `ls -la {shown}` and `df -h {shown}`, or choose another directory"),
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_usual_limits_of_open_files_are_no_cause_for_a_warning() {
        for (limit, severity) in [(255, Severity::Warning), (256, Severity::Good), (1024, Severity::Good)] {
            assert_eq!(enough_descriptors(limit).severity(), severity, "{limit}");
        }
    }
}

//! Directories that can't be used.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use lock_core::{ErrorKind, LockAdmin, LockBackend, Severity};
use lock_file::FileBackend;

use super::child::Process;
use super::{acquire, request};

const TTL: Duration = Duration::from_secs(15);

/// Runs `f` as a user whom permissions bind: root's thread becomes nobody, in effect only.
fn unprivileged<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(rustix::process::Uid::ROOT, nobody, rustix::process::Uid::ROOT)
                    .unwrap();
            }
            f()
        });
        run.join().unwrap()
    })
}

fn block_on<T>(f: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
}

/// A directory of the user that `unprivileged` is.
fn directory_of_theirs(mode: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        chown(dir.path(), Some(65534), None).unwrap();
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
    dir
}

#[test]
fn fault_57_a_directory_that_may_not_be_written_is_a_typed_error_with_advice() {
    let dir = directory_of_theirs(0o500);
    let error = unprivileged(|| FileBackend::open(dir.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let advice = error.advice().unwrap();
    assert!(advice.contains("ls -la") && advice.contains(dir.path().to_str().unwrap()), "{error}");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn fault_57_a_directory_closed_later_is_a_typed_error_and_preflight_tells() {
    let dir = directory_of_theirs(0o700);
    let path = dir.path();
    unprivileged(|| {
        let backend = FileBackend::open(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o500)).unwrap();
        let error = block_on(backend.try_acquire(&request(TTL))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(!error.is_transient());
        fs::set_permissions(path.join(".tmp"), Permissions::from_mode(0o500)).unwrap();
        let findings = block_on(backend.preflight());
        let worst = findings.iter().max_by_key(|finding| finding.severity()).unwrap();
        assert_eq!((worst.severity(), worst.check()), (Severity::Denied, "writable"));
        fs::set_permissions(path.join(".tmp"), Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn fault_57_no_descriptors_left_is_a_typed_error_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let said = Process::start("exhaust", dir.path(), TTL).hear();
    assert!(said.starts_with("ResourceExhausted") && said.contains("ulimit -n"), "{said}");
}

#[test]
fn fault_57_a_file_in_the_directorys_place_is_a_typed_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = FileBackend::open(file.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[test]
fn files_are_closed_to_others_and_directories_too() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("a/b/locks");
    let backend = FileBackend::open(&directory).unwrap();
    block_on(acquire(&backend, &request(TTL)));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("k")), 0o700);
    assert_eq!(mode(&directory.join("k/00000000000000000001")), 0o600);
}

#[test]
fn fault_60_a_symbolic_link_planted_for_the_default_directory_is_refused() {
    let (runtime, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = || Process::start_with("open-default", runtime.path(), TTL, "XDG_RUNTIME_DIR", runtime.path()).hear();
    let place = runtime.path().join("distlock");
    std::os::unix::fs::symlink(elsewhere.path(), &place).unwrap();
    let said = start();
    assert!(said.starts_with("PermissionDenied") && said.contains("symbolic link"), "{said}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing was created behind it");
    fs::remove_file(&place).unwrap();
    assert_eq!(start(), format!("opened {}", place.display()));
    fs::set_permissions(&place, Permissions::from_mode(0o777)).unwrap();
    let said = start();
    assert!(said.starts_with("PermissionDenied") && said.contains("written by others"), "{said}");
}

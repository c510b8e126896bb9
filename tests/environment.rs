//! From the environment to a store. Each test runs a child, which is this program with other
//! variables: those of a process that runs tests can't be changed safely.

mod support;

use std::path::Path;
use std::process::Command;

use support::{Finished, run};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn url(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

/// Set for the children that the tests start.
const CHILD: &str = "DISTLOCK_TEST_CHILD";

/// What the child does; nothing when it is run among the tests.
#[tokio::test]
async fn child_connects_from_its_environment() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    match distlock::connect_from_env().await {
        Ok(locks) => {
            let guard = locks.lock("from-env").try_acquire().await.expect("it is free");
            println!("held with token {}", guard.fencing_token());
            guard.release().await.expect("the store answers");
        }
        Err(error) => println!("refused: {error}"),
    }
}

fn child() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own path"));
    command.args(["--exact", "--nocapture", "child_connects_from_its_environment"]).env(CHILD, "1");
    for variable in ["DISTLOCK_URL", "DISTLOCK_DIR", "XDG_RUNTIME_DIR"] {
        command.env_remove(variable);
    }
    command
}

#[track_caller]
fn assert_held_below(child: Finished, directory: &Path) {
    let child = child.ended_with(0);
    assert!(child.stdout.contains("held with token"), "{}", child.stdout);
    assert!(directory.join("from-env").is_dir(), "no lock below {}: {}", directory.display(), child.stdout);
}

#[test]
fn without_a_url_the_directory_is_distlock_dir() {
    let directory = directory();
    let locks = directory.path().join("locks");
    assert_held_below(run(child().env("DISTLOCK_DIR", &locks)), &locks);
}

#[test]
fn the_url_file_without_a_directory_is_distlock_dir_too() {
    let directory = directory();
    let locks = directory.path().join("locks");
    assert_held_below(run(child().env("DISTLOCK_URL", "file:").env("DISTLOCK_DIR", &locks)), &locks);
}

#[test]
fn the_default_directory_takes_parameters() {
    let directory = directory();
    let child = run(child().env("DISTLOCK_URL", "file:?prefix=p").env("DISTLOCK_DIR", directory.path()));
    assert_held_below(child, &directory.path().join("@p"));
}

#[test]
fn a_directory_in_the_url_goes_before_distlock_dir() {
    let (named, other) = (directory(), directory());
    let child = run(child().env("DISTLOCK_URL", url(named.path())).env("DISTLOCK_DIR", other.path()));
    assert_held_below(child, named.path());
    assert_eq!(std::fs::read_dir(other.path()).expect("the directory").count(), 0);
}

#[cfg(unix)]
#[test]
fn without_anything_the_directory_is_the_users_own_and_closed_to_others() {
    use std::os::unix::fs::MetadataExt;
    let directory = directory();
    let locks = directory.path().join("distlock");
    for empty in [false, true] {
        let mut child = child();
        // An empty variable is one that isn't set.
        if empty {
            child.env("DISTLOCK_DIR", "");
        }
        assert_held_below(run(child.env("XDG_RUNTIME_DIR", directory.path())), &locks);
        let mode = std::fs::metadata(&locks).expect("the directory").mode() & 0o777;
        assert_eq!(mode, 0o700, "{mode:o}");
    }
}

#[cfg(unix)]
#[test]
fn a_url_that_is_not_unicode_is_told_by_its_variable() {
    use std::os::unix::ffi::OsStrExt;
    let child = run(child().env("DISTLOCK_URL", std::ffi::OsStr::from_bytes(b"file:///\xff"))).ended_with(0);
    for part in ["refused:", "DISTLOCK_URL", "Unicode"] {
        assert!(child.stdout.contains(part), "{part:?} is missing in: {}", child.stdout);
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_is_not_unicode_is_used() {
    use std::os::unix::ffi::OsStrExt;
    let directory = directory();
    let locks = directory.path().join(std::ffi::OsStr::from_bytes(b"locks \xff"));
    assert_held_below(run(child().env("DISTLOCK_DIR", &locks)), &locks);
}

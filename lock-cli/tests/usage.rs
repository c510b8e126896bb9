//! Wrong usage is told clearly, with exit code 64, before anything is held.

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use support::{Place, stderr, stdout};

#[test]
fn wrong_usage_exits_64() {
    let place = Place::new();
    let long = "x".repeat(1 << 10) + "x";
    let label = "x".repeat(257);
    for arguments in [
        &[][..],
        &["nonsense"],
        &["run", "k"],
        &["run", "k", "--"],
        &["run", "--", "true"],
        &["run", "--wait", "1s", "--no-wait", "k", "--", "true"],
        &["run", "--ttl", "15", "k", "--", "true"],
        &["run", "--ttl", "-1s", "k", "--", "true"],
        &["run", "--kill-after", "soon", "k", "--", "true"],
        &["run", "--label", &label, "k", "--", "true"],
        &["break", "--if-token", "-1", "k"],
        &["status", "--url", "nonsense", "k"],
        &["status", "--url", "gopher://h", "k"],
        &["status", "--url", "file:?colour=red", "k"],
        &["run", &long, "--", "true"],
        &["completions", "tcsh"],
    ] {
        let output = place.output(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!stderr(&output).is_empty() && stdout(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    for arguments in [&["--help"][..], &["-h"], &["--version"], &["run", "--help"], &["help", "break"]] {
        let output = place.output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!stdout(&output).is_empty() && stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn fault_16_and_17_impossible_ttls_are_usage_errors() {
    let place = Place::new();
    for (ttl, says) in
        [("0s", "TTL"), ("1ns", "TTL"), ("500000days", "TTL"), ("1ms", "10ms to"), ("99999999999999years", "--ttl")]
    {
        let output = place.output(&["run", "--ttl", ttl, "k", "--", "true"]);
        assert_eq!(output.status.code(), Some(64), "{ttl}");
        assert!(stderr(&output).contains(says), "{ttl}: {}", stderr(&output));
    }
}

#[test]
fn fault_25_and_26_impossible_keys_are_usage_errors() {
    let place = Place::new();
    // The longest argument that Linux passes is below 128 KiB.
    for key in [String::new(), "x".repeat(100_000)] {
        for arguments in [&["run", &key, "--", "true"][..], &["status", &key], &["break", &key]] {
            let output = place.output(arguments);
            assert_eq!(output.status.code(), Some(64));
            assert!(stderr(&output).contains("lock key"), "{}", stderr(&output));
        }
    }
}

#[test]
fn fault_27_and_28_strange_keys_are_locks_like_others() {
    let place = Place::new();
    let keys = ["a\nb", "é", "../x", "*", "{}", "}x", "%2F", "a//b", "x.", "CON", ".", "..", "a b", "'", "\u{1b}[31m"];
    let script = "for key; do \"$0\" run --no-wait \"$key\" -- sh -c 'echo \"$DISTLOCK_KEY\"' || exit; done";
    let distlock = env!("CARGO_BIN_EXE_distlock");
    // All but one free while one is held; and told back as they were given.
    for held in keys {
        let others = keys.iter().filter(|key| **key != held);
        let mut command = place.distlock(["run", held, "--", "sh", "-c", script, distlock]);
        let output = command.args(others.clone()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{held:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), others.fold(String::new(), |all, key| all + key + "\n"));
    }
}

/// The dashes that would tell it from an option begin the command there.
#[test]
fn run_says_that_it_takes_no_key_that_begins_with_a_dash() {
    let place = Place::new();
    for arguments in [&["run", "-k", "--", "true"][..], &["run", "--", "-k", "--", "true"], &["run", "--no-wait", "-k"]]
    {
        let output = place.output(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains("A KEY that begins with \"-\" can't be used with run"), "{arguments:?}: {said}");
        assert!(!said.contains("'-- -k'"), "{arguments:?}: {said}");
    }
    assert!(stdout(&place.output(&["run", "--help"])).contains("must not begin with \"-\""));
    // A mistyped option is told as one.
    let said = stderr(&place.output(&["run", "--tll", "5s", "k", "--", "true"]));
    assert!(said.contains("a similar argument exists: '--ttl'"), "{said}");
    assert!(!said.contains("'-- --tll'"), "{said}");
    // All others take one.
    assert!(stderr(&place.output(&["status", "-k"])).contains("use '-- -k'"));
    assert_eq!(place.code(&["status", "--", "-k"]), 1);
}

#[test]
fn a_key_that_is_no_text_is_a_usage_error() {
    let place = Place::new();
    for command in ["run", "status", "break", "list"] {
        let mut distlock = place.distlock([OsStr::new(command), OsStr::from_bytes(b"a\xff")]);
        if command == "run" {
            distlock.args(["--", "true"]);
        }
        let output = distlock.output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{command}");
        assert!(stderr(&output).contains("is not valid UTF-8"), "{command}: {}", stderr(&output));
    }
}

#[test]
fn environment_variables_that_cant_be_read_are_usage_errors() {
    let place = Place::new();
    let unreadable = OsStr::from_bytes(b"\xff");
    for name in ["DISTLOCK_URL", "DISTLOCK_TTL", "DISTLOCK_WAIT", "DISTLOCK_LOG"] {
        let output = place.distlock(["run", "k", "--", "true"]).env(name, unreadable).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}");
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }
    let output = place.distlock(["run", "k", "--", "true"]).env("DISTLOCK_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    for name in ["DISTLOCK_TTL", "DISTLOCK_WAIT"] {
        let output = place.distlock(["run", "k", "--", "true"]).env(name, "15").output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}");
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }
}

#[test]
fn empty_environment_variables_count_as_unset() {
    let place = Place::new();
    let mut command = place.distlock(["run", "k", "--", "true"]);
    for name in ["DISTLOCK_URL", "DISTLOCK_TTL", "DISTLOCK_WAIT", "DISTLOCK_LOG"] {
        command.env(name, "");
    }
    assert_eq!(command.status().unwrap().code(), Some(0));
}

#[test]
fn options_go_before_the_environment() {
    let place = Place::new();
    let _held = place.hold("k", &[], "echo; exec sleep 1000");
    let mut command = place.distlock(["run", "--wait", "10ms", "k", "--", "true"]);
    assert_eq!(command.env("DISTLOCK_WAIT", "nonsense").status().unwrap().code(), Some(75));
    let mut command = place.distlock(["run", "k", "--", "true"]);
    assert_eq!(command.env("DISTLOCK_WAIT", "10ms").status().unwrap().code(), Some(75));
    let output = place.distlock(["run", "--ttl", "1m", "j", "--", "true"]).env("DISTLOCK_TTL", "1ns").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

//! A password appears nowhere: no error, no log line, not in the command's environment.

mod support;

use support::{Place, stderr, stdout};

const SECRET: &str = "hunter2";

const URLS: [&str; 8] = [
    "redis://user:hunter2@127.0.0.1:1/0",
    "redis://:hunter2@127.0.0.1:1",
    "redis://user:hun@hunter2@127.0.0.1:1",
    "gopher://user:hunter2@h",
    "consul://127.0.0.1:1?token=hunter2&prefix=a",
    "file://user:hunter2@host/directory",
    "redis://user:x/hunter2@127.0.0.1",
    "user:hunter2@host",
];

fn assert_clean(what: &str, output: &std::process::Output) {
    let said = stdout(output) + &stderr(output);
    assert!(!said.contains(SECRET), "{what}: {said}");
}

#[test]
fn fault_70_a_password_in_the_url_is_in_no_output() {
    let place = Place::new();
    for url in URLS {
        for log in ["", "debug", "trace"] {
            for arguments in
                [&["status", "k"][..], &["list"], &["doctor", "--json"], &["run", "--wait", "1s", "k", "--", "env"]]
            {
                let output =
                    place.distlock(arguments).env("DISTLOCK_URL", url).env("DISTLOCK_LOG", log).output().unwrap();
                assert_ne!(output.status.code(), Some(0), "{url}");
                assert_clean(url, &output);
                let mut command = place.distlock([arguments[0], "--url", url]);
                assert_clean(url, &command.args(&arguments[1..]).env("DISTLOCK_LOG", log).output().unwrap());
            }
        }
    }
}

#[test]
fn fault_70_a_mistyped_url_keeps_its_password_too() {
    let place = Place::new();
    for url in &URLS[..5] {
        for arguments in [&["doctor", url][..], &["run", "--ttl", url, "k", "--", "true"], &["status", "k", url]] {
            let output = place.output(arguments);
            assert_eq!(output.status.code(), Some(64), "{arguments:?}");
            assert_clean(url, &output);
        }
    }
}

#[test]
fn fault_70_a_url_in_the_wrong_place_keeps_its_password_too() {
    let place = Place::new();
    for url in &URLS[..5] {
        for variable in ["DISTLOCK_TTL", "DISTLOCK_WAIT", "DISTLOCK_LOG"] {
            let output = place.distlock(["run", "k", "--", "true"]).env(variable, url).output().unwrap();
            assert_clean(variable, &output);
        }
        let output = place.output(&["run", "k", "--", url]);
        assert_eq!(output.status.code(), Some(127), "{}", stderr(&output));
        assert_clean("the command", &output);
    }
}

#[test]
fn fault_70_the_command_sees_no_password() {
    let place = Place::new();
    for url in URLS {
        // The store in use is another one; the variable is passed on all the same, but for its secret.
        let mut command = place.distlock(["run", "--url", "file:", "k", "--", "env"]);
        let output = command.env("DISTLOCK_URL", url).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_clean(url, &output);
        // Never unset: a distlock within would use a lock of this host instead, and exclude nobody.
        assert!(stdout(&output).contains("\nDISTLOCK_URL=") || stdout(&output).starts_with("DISTLOCK_URL="), "{url}");
    }
}

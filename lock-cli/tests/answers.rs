//! What people and scripts are told.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use support::{Place, stderr, stdout};

const HOLD: &str = "echo $PPID; exec sleep 1000";

#[test]
fn held_is_told_with_what_to_do_about_it() {
    let place = Place::new();
    let held = place.hold("de ploy", &["--label", "blue"], HOLD);
    let status = stdout(&place.output(&["status", "--json", "de ploy"]));
    let json: serde_json::Value = serde_json::from_str(&status).unwrap();
    let (pid, host, token) = (held.pid().to_string(), json["host"].as_str().unwrap(), &json["token"]);
    let time = &json["acquired_at"].as_str().unwrap()[11..19];
    for options in [&["--no-wait"][..], &["--wait", "20ms"], &["--wait", "0s"]] {
        let mut arguments = vec!["run"];
        arguments.extend(options);
        arguments.extend(["de ploy", "--", "true"]);
        let output = place.output(&arguments);
        assert_eq!(output.status.code(), Some(75));
        assert!(stdout(&output).is_empty());
        let said = stderr(&output);
        let left = said.split("for another ").nth(1).unwrap().split(" s unless").next().unwrap();
        assert!((10.0..=15.0).contains(&left.parse::<f64>().unwrap()), "{said}");
        let expected = format!(
            "distlock: \"de ploy\" is held by pid {pid} (sh on {host}, label \"blue\") since {time} UTC, token {token},
          for another {left} s unless renewed
          wait for it:      distlock run --wait 30s 'de ploy' -- ...
          stop the holder:  kill {pid}
          take it away:     distlock break --if-token {token} 'de ploy'
          its place:        {lock}, chosen by --url or DISTLOCK_DIR
",
            lock = place.locks().join("de%20ploy").display(),
        );
        assert_eq!(said, expected);
    }
}

/// Another key would be another lock: the advice would be about that, and do nothing.
#[test]
fn a_key_that_looks_like_a_url_with_a_password_is_told_as_it_is() {
    let place = Place::new();
    for key in ["http://a@b/c", "http://a:b@c?token=d"] {
        let held = place.hold(key, &["--ttl", "1s"], HOLD);
        let said = stderr(&place.output(&["run", "--no-wait", key, "--", "true"]));
        assert!(said.contains(&format!("distlock: \"{key}\" is held by")), "{said}");
        assert!(!said.contains("***"), "{said}");
        let advice = said.lines().find_map(|line| line.trim().strip_prefix("take it away:     distlock ")).unwrap();
        let words = Command::new("sh").args(["-c", &format!("printf '%s\\n' {advice}")]).output().unwrap();
        let output = place.output(&stdout(&words).lines().collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{advice}: {}", stderr(&output));
        let (code, said) = held.end();
        assert_eq!(code, Some(79), "{said}");
        assert!(said.contains(&format!("distlock: the lock \"{key}\" (token ")), "{said}");
        let said = stderr(&place.output(&["break", key]));
        assert_eq!(said, format!("distlock: \"{key}\" is free: there was nothing to take away\n"));
        let said = stderr(&place.output(&["list", key]));
        assert_eq!(said, format!("distlock: no lock whose name begins with \"{key}\" is held\n"));
    }
}

#[test]
fn a_script_that_waits_is_told_nothing_meanwhile() {
    // Longer than a person at a terminal would be kept in the dark; its stderr may be a mail.
    let place = Place::new();
    let _held = place.hold("k", &[], HOLD);
    let output = place.output(&["run", "--wait", "1500ms", "k", "--", "true"]);
    assert_eq!(output.status.code(), Some(75));
    assert!(stderr(&output).starts_with("distlock: \"k\" is held by"), "{}", stderr(&output));
}

#[test]
fn status_and_list_have_fixed_json() {
    let place = Place::new();
    let held = place.hold("a/b", &["--label", "blue", "--ttl", "1m"], HOLD);
    let output = place.output(&["status", "--json", "a/b"]);
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["key", "token", "owner", "host", "pid", "program", "label", "acquired_at", "ttl_ms", "expires_in_ms"];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!((&json["key"], &json["program"], &json["label"]), (&"a/b".into(), &"sh".into(), &"blue".into()));
    assert_eq!((&json["ttl_ms"], json["pid"].to_string()), (&60_000.into(), held.pid().to_string()));
    assert_eq!(held.line, held.pid().to_string());
    assert!(json["token"].is_u64() && json["owner"].as_str().unwrap().len() == 32);
    assert!(json["acquired_at"].as_str().unwrap().ends_with('Z'));
    assert!(json["expires_in_ms"].as_u64().unwrap() <= 60_000);

    let list =
        |arguments: &[&str]| -> serde_json::Value { serde_json::from_slice(&place.output(arguments).stdout).unwrap() };
    assert_eq!(list(&["list", "--json"])[0]["key"], "a/b");
    assert_eq!(list(&["list", "--json", "a/"]).as_array().unwrap().len(), 1);
    assert_eq!(list(&["list", "--json", "b"]), serde_json::json!([]));
    assert_eq!(stdout(&place.output(&["list"])).lines().count(), 2);

    let free = place.output(&["status", "--json", "free"]);
    assert_eq!((free.status.code(), stdout(&free).as_str()), (Some(1), "null\n"));
}

#[test]
fn break_tells_what_became_of_it() {
    let place = Place::new();
    let output = place.output(&["break", "k"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("\"k\" is free"), "{}", stderr(&output));

    let held = place.hold("k", &["--ttl", "300ms"], HOLD);
    let output = place.output(&["break", "--if-token", "1", "k"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the token differs"), "{}", stderr(&output));
    assert!(!place.is_free("k"));

    let json: serde_json::Value = serde_json::from_slice(&place.output(&["status", "--json", "k"]).stdout).unwrap();
    let output = place.output(&["break", "--if-token", &json["token"].to_string(), "k"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("was taken away from pid"), "{}", stdout(&output));
    assert_eq!(held.end().0, Some(79));
}

#[test]
fn doctor_tells_good_and_bad() {
    let place = Place::new();
    let output = place.output(&["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!findings.as_array().unwrap().is_empty());
    let warns = findings.as_array().unwrap().iter().any(|finding| finding["severity"] == "warning");
    assert_eq!(output.status.code(), Some(i32::from(warns)), "{findings}");

    // A file where the directory should be.
    let file = place.mark("file");
    std::fs::write(&file, "").unwrap();
    for arguments in [&["doctor"][..], &["doctor", "--json"], &["status", "k"], &["run", "k", "--", "true"]] {
        let output = place.distlock(arguments).env("DISTLOCK_DIR", &file).output().unwrap();
        assert_eq!(output.status.code(), Some(69), "{arguments:?}: {}", stderr(&output));
        let told = stdout(&output) + &stderr(&output);
        assert!(told.contains("file"), "{arguments:?}: {told}");
    }
}

#[test]
fn permission_denied_exits_77() {
    let place = Place::new();
    let link = place.mark("distlock");
    std::os::unix::fs::symlink("/", &link).unwrap();
    // The default directory, planted by somebody else: refused, even to root.
    for arguments in [&["doctor"][..], &["run", "k", "--", "true"]] {
        let mut command = place.distlock(arguments);
        let output =
            command.env_remove("DISTLOCK_DIR").env("XDG_RUNTIME_DIR", link.parent().unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(77), "{}", stderr(&output));
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let place = Place::new();
    for arguments in [&["man"][..], &["completions", "bash"], &["--help"], &["status", "--json", "k"]] {
        let mut child = place.distlock(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(arguments[0] == "status")), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_cant_be_written_is_an_error() {
    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place.distlock(["status", "k"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", stderr(&output));
}

#[test]
fn a_closed_stderr_is_no_reason_to_fail() {
    let place = Place::new();
    let mut command = place.distlock(["run", "--ttl", "300ms", "k", "--", "sh", "-c", "echo; exec sleep 1000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    assert_eq!(place.code(&["break", "k"]), 0);
    assert_eq!(child.wait().unwrap().code(), Some(79));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let place = Place::new();
    let commands = ["run", "status", "list", "break", "doctor", "completions", "man"];
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&place.output(&["completions", shell]));
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
        assert!(!script.contains("__start") && !script.contains("__guard"), "{shell}");
    }
    let page = stdout(&place.output(&["man"]));
    assert!(commands.iter().all(|command| page.contains(&format!("distlock\\-{command}"))));
    let pages = place.mark("pages");
    assert_eq!(place.code(&["man", "--dir", pages.to_str().unwrap()]), 0);
    for command in commands {
        let page = std::fs::read_to_string(pages.join(format!("distlock-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
}

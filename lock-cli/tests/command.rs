//! The command runs as if it had been started without `distlock`.

mod support;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use support::{Place, stderr, stdout};

#[test]
fn its_exit_code_is_ours() {
    let place = Place::new();
    for (script, code) in [("exit 0", 0), ("exit 1", 1), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        assert_eq!(place.code(&["run", "k", "--", "sh", "-c", script]), code, "{script}");
        assert!(place.is_free("k"), "{script}");
    }
}

#[test]
fn fault_68_a_command_that_cant_be_started_holds_nothing() {
    let place = Place::new();
    let plain = place.mark("plain");
    std::fs::write(&plain, "").unwrap();
    for (program, code, says) in
        [("no-such-command", 127, "isn't found"), (plain.to_str().unwrap(), 126, "can't be executed")]
    {
        let output = place.output(&["run", "k", "--", program]);
        assert_eq!(output.status.code(), Some(code));
        assert!(stderr(&output).contains(says) && stderr(&output).contains(program), "{}", stderr(&output));
        assert!(place.is_free("k"));
    }
}

#[test]
fn fault_69_binary_data_passes_untouched() {
    let place = Place::new();
    let data: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(8 << 20).collect();
    let script = "cat; printf '\\377\\000' >&2";
    let mut command = place.distlock(["run", "k", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = data.clone();
    let sender = std::thread::spawn(move || stdin.write_all(&sent));
    let output = child.wait_with_output().unwrap();
    sender.join().unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == data, "stdout differs");
    assert_eq!(output.stderr, b"\xff\0");
}

#[test]
fn arguments_pass_untouched() {
    let place = Place::new();
    let odd = [&b"\xff\xfe"[..], b"", b"--help", b"--", b"a b", b"$HOME", b"-x"];
    let mut command = place.distlock(["run", "k", "--", "printf", "%s|"]);
    let output = command.args(odd.map(OsStr::from_bytes)).output().unwrap();
    assert_eq!(output.stdout, b"\xff\xfe||--help|--|a b|$HOME|-x|");
}

#[test]
fn it_knows_its_lock_and_token() {
    let place = Place::new();
    let script = "echo \"$DISTLOCK_KEY $DISTLOCK_TOKEN $DISTLOCK_OWNER\"";
    let run = || stdout(&place.output(&["run", "a b", "--", "sh", "-c", script]));
    let token = |line: &str| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    let (first, second) = (run(), run());
    assert!(first.starts_with("a b "), "{first}");
    assert!(token(&second) > token(&first));
    assert_eq!(first.trim().split(' ').nth(3).unwrap().len(), 32);
}

#[test]
fn two_commands_never_overlap() {
    let place = Place::new();
    let busy = place.mark("busy");
    // mkdir fails when somebody else is in there.
    let script = format!("mkdir {0} && sleep 0.05 && rmdir {0}", busy.display());
    let commands: Vec<_> =
        (0..8).map(|_| place.distlock(["run", "k", "--", "sh", "-c", &script]).spawn().unwrap()).collect();
    for mut command in commands {
        assert_eq!(command.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn output_ends_with_the_command() {
    // Who reads all of our output waits for nobody else who has it open.
    let place = Place::new();
    let began = std::time::Instant::now();
    assert_eq!(stdout(&place.output(&["run", "k", "--", "echo", "done"])), "done\n");
    assert!(began.elapsed() < support::LIMIT);
}

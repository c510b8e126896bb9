//! The real command in a directory of its own. Nothing here sleeps for a fixed time as a proof:
//! what must become true is waited for, up to a limit that only a broken program reaches.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Far above what a loaded machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Held, seen, refused, handed on, checked, broken: all by this URL. Answers what the check said.
pub(crate) fn all_commands_work_at(url: &str) -> Output {
    let place = Place::new();
    let with = |command: &'static str, more: &[&str]| {
        let arguments: Vec<_> = [command, "--url", url].iter().chain(more).copied().map(str::to_owned).collect();
        place.distlock(arguments).output().unwrap()
    };
    let token = |output: &Output| stdout(output).trim().parse::<u64>().unwrap();
    let first = with("run", &["k", "--", "sh", "-c", "echo $DISTLOCK_TOKEN"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(with("status", &["k"]).status.code(), Some(1));

    let held = place.hold("k", &["--url", url], "echo $DISTLOCK_TOKEN; exec sleep 1000");
    assert!(held.line.parse::<u64>().unwrap() > token(&first));
    let status = with("status", &["--json", "k"]);
    assert_eq!(status.status.code(), Some(0), "{}", stderr(&status));
    assert!(stdout(&status).contains(&format!("\"token\":{}", held.line)), "{}", stdout(&status));
    let refused = with("run", &["--no-wait", "k", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75), "{}", stderr(&refused));
    assert!(stdout(&with("list", &[])).contains('k'));
    let doctor = with("doctor", &[]);

    // Somebody waits, and the lock is taken from its holder, who hears of it and stops its command.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| with("run", &["--wait", "60s", "k", "--", "sh", "-c", "echo $DISTLOCK_TOKEN"]));
        let broken = with("break", &["--if-token", &held.line, "k"]);
        assert_eq!(broken.status.code(), Some(0), "{}", stderr(&broken));
        waiting.join().unwrap()
    });
    assert_eq!(waiting.status.code(), Some(0), "{}", stderr(&waiting));
    assert!(token(&waiting) > held.line.parse().unwrap());
    assert_eq!(held.end().0, Some(79));
    doctor
}

/// A lock store and a place for marks, both gone at the end.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.0.path().join("marks")).unwrap();
        place
    }

    /// `distlock` with these arguments, on this place's store, free of the caller's environment.
    pub(crate) fn distlock(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distlock"));
        for name in ["DISTLOCK_URL", "DISTLOCK_TTL", "DISTLOCK_WAIT", "DISTLOCK_LOG"] {
            command.env_remove(name);
        }
        command.env_remove("CONSUL_HTTP_TOKEN").env("DISTLOCK_DIR", self.locks()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.distlock(arguments).output().unwrap()
    }

    pub(crate) fn code(&self, arguments: &[&str]) -> i32 {
        self.output(arguments).status.code().unwrap()
    }

    /// The store's directory.
    pub(crate) fn locks(&self) -> PathBuf {
        self.0.path().join("locks")
    }

    /// A path for a command to leave a mark at.
    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.0.path().join("marks").join(name)
    }

    /// Runs `script` under the lock `key`, and waits for its first line on stdout.
    pub(crate) fn hold(&self, key: &str, options: &[&str], script: &str) -> Running {
        let mut command = self.distlock(["run"]);
        command.args(options).args([key, "--", "sh", "-c", script]);
        Running::start(command)
    }

    pub(crate) fn is_free(&self, key: &str) -> bool {
        self.code(&["status", key]) == 1
    }
}

/// A `distlock run` whose command has said a first line; killed at the end of the test.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// The command's first line.
    pub(crate) line: String,
    pub(crate) stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self { child, line: line.trim().to_owned(), stdout }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The exit code and what was said on stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        eventually("it ends", || self.child.try_wait().unwrap().is_some());
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is true.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process lives; a zombie doesn't.
pub(crate) fn lives(pid: &str) -> bool {
    let number = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    test_kill_process(number).is_ok() && !stat.contains(") Z ")
}

/// What a file says, once it says a whole line.
pub(crate) fn line_in(path: &Path) -> String {
    let mut line = String::new();
    eventually("a line is written", || {
        line = std::fs::read_to_string(path).unwrap_or_default();
        line.ends_with('\n')
    });
    line.trim().to_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

//! What tests that start processes share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Upper bound of every wait for a process, on a machine that is busy with other things.
const LONG: Duration = Duration::from_secs(60);

/// The example `name`, with its locks in `directory` whatever the environment says.
pub(crate) fn example(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(example_path(name));
    command.env("DISTLOCK_DIR", directory).env_remove("DISTLOCK_URL");
    command
}

/// Where cargo puts the package's examples, told from where it put this test.
fn example_path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let target = test.parent().and_then(Path::parent).expect("tests are in TARGET/PROFILE/deps");
    let path = target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing: `cargo test -p distlock` builds the examples, `cargo test --test NAME` alone doesn't; \
         run `cargo build -p distlock --examples` first",
        path.display()
    );
    path
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Finished {
    Running::start(command).finish()
}

/// A process under way. Killed when it is dropped, so that a test that fails leaves none.
pub(crate) struct Running {
    child: Option<Child>,
    lines: mpsc::Receiver<String>,
    printed: String,
}

/// A process that has ended.
pub(crate) struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the process starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (told, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { child: Some(child), lines, printed: String::new() }
    }

    /// Waits for the line on stdout that contains `part`.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(LONG) else {
                panic!("no line with {part:?} came; printed was:\n{}", self.printed)
            };
            self.printed += &(line.clone() + "\n");
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it isn't finished").id()
    }

    /// Sends SIGKILL (on Windows: terminates), and waits until the process is gone.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().expect("it isn't finished");
        child.kill().expect("the process can be killed");
        child.wait().expect("the process can be waited for");
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Finished {
        let child = self.child.take().expect("it isn't finished");
        let id = child.id();
        let (told, end) = mpsc::channel();
        thread::spawn(move || told.send(child.wait_with_output()));
        let Ok(end) = end.recv_timeout(LONG) else { panic!("process {id} doesn't end; printed: {}", self.printed) };
        let Output { status, stderr, .. } = end.expect("the process can be waited for");
        self.printed.extend(self.lines.iter().map(|line| line + "\n"));
        let stdout = std::mem::take(&mut self.printed);
        Finished { code: status.code(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Finished {
    /// Fails the test unless the process ended with this exit code.
    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

//! A worker, seen from the one that starts it.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use crate::contest::{Contestant, Place, Way};
use crate::peers;
use crate::stores::Backend;

/// A worker process. Killed when dropped.
pub(crate) struct Worker {
    child: Child,
    lines: mpsc::Receiver<String>,
    name: &'static str,
}

impl Worker {
    /// Starts a contestant's worker, and waits until it is ready.
    pub(crate) fn start(
        backend: Backend,
        contestant: &Contestant,
        place: &Place,
        work: &[impl AsRef<str>],
    ) -> Result<Self> {
        let mut worker = Self::spawn(backend, contestant, place, work)?;
        worker.until_ready()?;
        Ok(worker)
    }

    /// Starts it only.
    pub(crate) fn spawn(
        backend: Backend,
        contestant: &Contestant,
        place: &Place,
        work: &[impl AsRef<str>],
    ) -> Result<Self> {
        let mut command = match contestant.way {
            Way::Python(module) => peers::python(module)?,
            Way::Client(_) | Way::Signal(_) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["worker", "--backend", backend.name(), "--contestant", contestant.name]);
                command
            }
        };
        command.args(["--url", &place.url, "--ttl-ms", &place.ttl_ms.to_string(), "--tag", &place.tag]);
        if place.alone {
            command.arg("--alone");
        }
        command.args(work.iter().map(AsRef::as_ref));
        // What fails is told by its message.
        command.env("RUST_LIB_BACKTRACE", "0");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting a worker")?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok(Self { child, lines: read(stdout), name: contestant.name })
    }

    pub(crate) fn until_ready(&mut self) -> Result<()> {
        match self.line(Duration::from_secs(120))?.as_str() {
            "ready" => Ok(()),
            other => bail!("{} said {other:?} instead of being ready", self.name),
        }
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) -> Result<()> {
        Ok(self.child.stdin.as_mut().context("no stdin")?.write_all(b"go\n")?)
    }

    /// Its answer; after so long it is given up.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T> {
        let line = self.line(limit)?;
        serde_json::from_str(&line).with_context(|| format!("{} answered {line:.200}", self.name))
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => anyhow!("{} said nothing within {limit:?}", self.name),
            mpsc::RecvTimeoutError::Disconnected => anyhow!("{} ended early", self.name),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines come through a channel, so that waiting for one has a limit.
fn read(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (told, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| told.send(line))
    });
    lines
}

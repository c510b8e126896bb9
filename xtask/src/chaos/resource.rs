//! The protected resource: a counter in a file that takes writes with good fencing tokens only.
//!
//! The file is its own log: the last line is the state, so that no process that is killed leaves
//! the two apart. A lock of the kernel's makes each step one step. Who is stopped while it has it keeps others from their
//! steps, but not their heartbeats from going on, nor their other locks.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use distlock::{FencingGate, FencingToken, OwnerId, StaleToken};
use serde::{Deserialize, Serialize};

/// More than one line has.
const TAIL: u64 = 512;

/// How often somebody asks whose step has to wait for another's.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// A step that the resource took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// A write, or a read on the way to one.
    pub(super) writes: bool,
    pub(super) token: u64,
    pub(super) owner: String,
    /// The counter after this step.
    pub(super) value: u64,
}

/// The counter of one key.
pub(super) struct Resource {
    path: PathBuf,
}

impl Resource {
    /// The counter that `key` protects.
    pub(super) fn of(directory: &Path, key: &str) -> Self {
        Self { path: directory.join(format!("resource-{key}")) }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the counter, and shuts out everybody with a lower token: without that, one of them
    /// could write between this reading and the writing that follows from it.
    pub(super) async fn read(&self, token: FencingToken, owner: OwnerId) -> Result<Result<u64, StaleToken>> {
        self.step(token, owner, |value| (false, value)).await
    }

    /// Writes the counter.
    pub(super) async fn write(
        &self,
        token: FencingToken,
        owner: OwnerId,
        value: u64,
    ) -> Result<Result<u64, StaleToken>> {
        self.step(token, owner, |_| (true, value)).await
    }

    async fn step(
        &self,
        token: FencingToken,
        owner: OwnerId,
        change: impl FnOnce(u64) -> (bool, u64),
    ) -> Result<Result<u64, StaleToken>> {
        let file = File::options().read(true).append(true).create(true).open(&self.path)?;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock => tokio::time::sleep(TRY_AGAIN).await,
                TryLockError::Error(error) => return Err(error.into()),
            }
        }
        let last = last_step(&file)?;
        let gate = match &last {
            Some(step) => FencingGate::resume(FencingToken::new(step.token), step.owner.parse()?),
            None => FencingGate::new(),
        };
        if let Err(stale) = gate.admit(token, owner) {
            return Ok(Err(stale));
        }
        let (writes, value) = change(last.map_or(0, |step| step.value));
        let step = Step { writes, token: token.get(), owner: owner.to_string(), value };
        let mut line = serde_json::to_vec(&step)?;
        line.push(b'\n');
        (&file).write_all(&line)?;
        Ok(Ok(value))
    }
}

/// The last whole line. What follows it was cut off by a kill, and never happened.
fn last_step(file: &File) -> Result<Option<Step>> {
    let len = file.metadata()?.len();
    let from = len.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(len - from)?];
    file.read_exact_at(&mut tail, from)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        file.set_len(0)?;
        return Ok(None);
    };
    file.set_len(from + end as u64 + 1)?;
    let start = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    Ok(Some(serde_json::from_slice(&tail[start..end]).context("the resource's last line")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::journal;

    /// A client's tasks share one thread. Seen in a run of ten minutes: one client was stopped within its step, and all that
    /// wanted the same counter stood still with their other locks, whose turn came meanwhile.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_anothers_step_lets_its_other_tasks_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let resource = Resource::of(directory.path(), "k");
        let stopped = File::options().append(true).create(true).open(resource.path()).unwrap();
        stopped.lock().unwrap();
        let step = resource.write(FencingToken::new(1), OwnerId::mint(), 1);
        let (written, ()) = tokio::join!(step, async { stopped.unlock().unwrap() });
        assert_eq!(written.unwrap(), Ok(1));
    }

    #[tokio::test]
    async fn a_reader_shuts_out_lower_tokens_and_a_torn_line_never_happened() {
        let directory = tempfile::tempdir().unwrap();
        let resource = Resource::of(directory.path(), "k");
        let (old, new) = (OwnerId::mint(), OwnerId::mint());
        let [t1, t2] = [1, 2].map(FencingToken::new);
        assert_eq!(resource.read(t1, old).await.unwrap(), Ok(0));
        assert_eq!(resource.read(t2, new).await.unwrap(), Ok(0));
        assert!(resource.write(t1, old, 1).await.unwrap().is_err());
        assert_eq!(resource.write(t2, new, 1).await.unwrap(), Ok(1));
        File::options().append(true).open(resource.path()).unwrap().write_all(b"{\"writes\":tr").unwrap();
        assert_eq!(resource.read(t2, new).await.unwrap(), Ok(1));
        let steps: Vec<Step> = journal::read(resource.path()).unwrap();
        assert_eq!(
            steps.iter().map(|step| (step.writes, step.value)).collect::<Vec<_>>(),
            [(false, 0), (false, 0), (true, 1), (false, 1)]
        );
    }
}

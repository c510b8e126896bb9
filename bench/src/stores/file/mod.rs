//! A directory of this host.

mod floor;
#[cfg(feature = "peers")]
mod peers;

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use rustix::system::uname;
use tempfile::TempDir;

use crate::contest::{Contestant, Lack, Program, Store, ours};

/// A temporary directory; TMPDIR chooses the file system.
pub(crate) struct Directory {
    directory: TempDir,
}

impl Directory {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { directory: tempfile::Builder::new().prefix("distlock-bench-").tempdir()? })
    }
}

impl Store for Directory {
    fn url(&self) -> String {
        format!("file://{}", self.directory.path().join("locks").display())
    }

    fn version(&self) -> String {
        format!("Linux {}, {}", uname().release().to_string_lossy(), file_system(self.directory.path()))
    }

    fn shortest_ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Each lock held is an open file.
    fn too_many(&self, contestant: &str, locks: u64) -> Option<String> {
        let files = crate::process::raise_file_limit();
        let too_many = contestant == "distlock" && locks + 100 > files;
        too_many.then(|| format!("an open file each, and a process may have {files} here (`ulimit -Hn`)"))
    }

    fn programs(&self) -> Vec<Program> {
        let (ours, file) = (self.url(), self.directory.path().join("flock"));
        vec![
            Program {
                name: crate::results::OUR_COMMAND,
                lacks: &[],
                note: "",
                command: Box::new(move || {
                    let mut command = Command::new(crate::process::distlock());
                    command.args(["run", "--url", &ours, "bench", "--", "true"]);
                    command
                }),
            },
            Program {
                name: "flock",
                lacks: &[Lack::Token, Lack::Metadata, Lack::HangTakeover, Lack::Order],
                note: "the command runs on when flock is killed, and keeps the lock then",
                command: Box::new(move || {
                    let mut command = Command::new("flock");
                    command.arg(&file).arg("true");
                    command
                }),
            },
        ]
    }
}

/// The type of the file system that a directory is on.
fn file_system(directory: &std::path::Path) -> String {
    let asked = Command::new("stat").args(["-f", "-c", "%T"]).arg(directory).output();
    asked.map_or_else(|_| "unknown file system".into(), |output| String::from_utf8_lossy(&output.stdout).trim().into())
}

pub(crate) fn contestants() -> Vec<Contestant> {
    let mut all = vec![ours(), floor::create_write_remove(), floor::flock(), floor::memory()];
    #[cfg(feature = "peers")]
    all.extend(peers::contestants());
    all.extend(python());
    all
}

fn python() -> Vec<Contestant> {
    use crate::contest::{Kind, Role, Way};
    const SKIPS: &[(Kind, &str)] =
        &[(Kind::Heartbeats, "nothing is renewed"), (Kind::Throughput, "one thread a task, in Python")];
    [("filelock", "a file that is locked by flock(2); asks every 50 ms"), ("tooz", "its file driver, over fasteners")]
        .map(|(name, note)| Contestant {
            name,
            role: Role::Peer,
            lacks: &[Lack::Token, Lack::Metadata, Lack::HangTakeover, Lack::Order, Lack::AsyncWaiting],
            note,
            way: Way::Python(name),
            skips: SKIPS,
        })
        .into()
}

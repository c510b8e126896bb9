//! The copy of the tree in which mutants are tried.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::list::Mutant;
use super::verdict::Verdict;
use crate::servers::Servers;

/// How long a command may take as the code is.
const LONGEST: Duration = Duration::from_secs(1_200);

/// A copy of the tree.
pub(super) struct Scratch {
    tree: PathBuf,
    target: PathBuf,
    log: PathBuf,
    /// Where the servers are that the tests need.
    servers: Servers,
    /// Locked as long as this lives: two runs in one copy would try each other's mutants.
    _alone: File,
}

/// A mutant's change to the copy. It is undone when this is dropped.
pub(super) struct Applied {
    path: PathBuf,
    original: String,
}

impl Scratch {
    /// Copies what git knows of, and what it would, as it is now. Always to the same place, so
    /// that what was built for the last run serves this one.
    pub(super) fn create(root: &Path, servers: Servers) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let home = target.join("mutants");
        fs::create_dir_all(&home)?;
        let alone = File::create(home.join("lock"))?;
        alone.try_lock().context("another run of the mutants is under way")?;
        let (tree, log) = (home.join("tree"), home.join("log"));
        let scratch = Self { tree, target: home.join("target"), log, servers, _alone: alone };
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("asking git for the files")?;
        ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
        let stale = scratch.tree.with_file_name("stale");
        if scratch.tree.exists() {
            fs::rename(&scratch.tree, &stale)?;
        }
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let (from, to) = (root.join(name), scratch.tree.join(name));
            if !from.exists() {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap_or(&scratch.tree))?;
            let old = stale.join(name);
            // A file that is as it was keeps its time, and cargo what it built from it.
            if fs::read(&old).is_ok_and(|old| fs::read(&from).is_ok_and(|new| new == old)) {
                fs::rename(&old, &to)?;
            } else {
                fs::copy(&from, &to).with_context(|| format!("copying {name}"))?;
            }
        }
        if stale.exists() {
            fs::remove_dir_all(&stale)?;
        }
        Ok(scratch)
    }

    /// Makes a mutant's change.
    pub(super) fn apply(&self, mutant: &Mutant) -> Result<Applied> {
        let path = self.tree.join(&mutant.file);
        let original = fs::read_to_string(&path)?;
        fs::write(&path, mutant.applied_to(&original)?)?;
        Ok(Applied { path, original })
    }

    /// Builds what `command` needs, and runs it; for so long at most. Also answers how long that took.
    pub(super) fn run(&self, command: &str, limit: Option<Duration>) -> Result<(Verdict, Duration)> {
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        let build: Vec<&str> = match words[..] {
            ["cargo", "test", ..] => {
                let own = words.iter().position(|word| *word == "--").unwrap_or(words.len());
                [&words[1..own], &["--no-run"]].concat()
            }
            ["cargo", "xtask", ..] => vec!["build", "--package", "xtask"],
            _ => bail!("not a command that catches mutants: {command}"),
        };
        if !self.cargo(&build, Duration::MAX)?.is_some_and(|status| status.success()) {
            bail!("it doesn't build:\n{}", fs::read_to_string(&self.log)?);
        }
        let began = Instant::now();
        let status = self.cargo(&words[1..], limit.unwrap_or(LONGEST))?;
        Ok((Verdict::of(status, &fs::read_to_string(&self.log)?)?, began.elapsed()))
    }

    /// Runs cargo in the copy; `None` when it had to be stopped.
    fn cargo(&self, arguments: &[&str], limit: Duration) -> Result<Option<ExitStatus>> {
        let mut command = crate::cargo::cargo();
        let output = File::create(&self.log)?;
        command.args(arguments).current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target);
        command.envs(self.servers.environment());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // Warnings are what a mutant is full of.
        command.env("RUSTFLAGS", "-Awarnings");
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if began.elapsed() > limit {
                // The tests that cargo started, too.
                #[cfg(unix)]
                rustix::process::kill_process_group(
                    rustix::process::Pid::from_child(&child),
                    rustix::process::Signal::KILL,
                )?;
                #[cfg(not(unix))]
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        // Were it to fail, the next run would copy the file anew.
        let _ = fs::write(&self.path, &self.original);
    }
}

//! apt, with lists and archives of its own: the system's are neither read nor changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::suite::Suite;

/// One suite of a mirror, as if it were all that apt knows, for a system where nothing is installed.
pub(super) struct Apt {
    directory: PathBuf,
    suite: Suite,
}

impl Apt {
    /// Keeps its files in `directory`.
    pub(super) fn new(directory: PathBuf, suite: Suite) -> Self {
        Self { directory, suite }
    }

    /// Unpacks the packages and all that they depend on, down to the C library, into `root`. Nothing is installed:
    /// no script of a package is run. apt checks the mirror's signature.
    pub(super) fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.directory.join(part))?;
        }
        fs::write(self.directory.join("sources.list"), &self.suite.line)?;
        fs::write(self.directory.join("status"), "")?;
        self.apt(&["update"])?;
        // What other packages left here isn't wanted.
        self.apt(&["clean"])?;
        self.apt(&[&["install", "--download-only", "--yes", "--no-install-recommends"], packages].concat())?;
        for entry in fs::read_dir(self.directory.join("cache/archives"))? {
            let archive = entry?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg").arg("-x").args([&archive, root]))?;
            }
        }
        Ok(())
    }

    fn apt(&self, arguments: &[&str]) -> Result<()> {
        let own = |name: &str| self.directory.join(name).display().to_string();
        let mut command = Command::new("apt-get");
        for option in [
            format!("Dir::Etc::SourceList={}", own("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::Etc::Preferences=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            format!("Dir::State={}", own("state")),
            format!("Dir::State::Status={}", own("status")),
            format!("Dir::Cache={}", own("cache")),
            // The locks are of the system's apt, and need its rights.
            "Debug::NoLocking=true".to_owned(),
            // Another user could not write here.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
            // A list that can't be had is an error.
            "APT::Update::Error-Mode=any".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        run(command.arg("--quiet=2").args(arguments))
            .with_context(|| format!("fetching packages from the suite {}", self.suite.name))
    }
}

/// Runs a command to its end; its output is shown only if it fails.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let shown =
        format!("{} {}", command.get_program().display(), command.get_args().last().unwrap_or_default().display());
    let answer = command.stdin(Stdio::null()).output().with_context(|| format!("{shown} can't be started"))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        bail!("{shown}: {}: {}", answer.status, said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_told_with_its_words() {
        let error = run(Command::new("sh").args(["-c", "echo no such suite >&2; exit 100"])).unwrap_err().to_string();
        assert!(error.contains("no such suite") && error.contains("100"), "{error}");
        assert!(run(&mut Command::new("no-such-command-at-all")).is_err());
    }
}

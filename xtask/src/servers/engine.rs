//! The container engine, through its command.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::apt::run;

/// An engine that answers.
#[derive(Debug)]
pub(crate) struct Engine {
    program: &'static str,
    version: String,
}

impl Engine {
    /// The engine.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn find() -> Result<Self> {
        let program = "docker";
        let answer = Command::new(program).args(["version", "--format", "{{.Server.Version}}"]).output();
        let answer = answer.context("the command docker can't be started")?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            bail!("docker version: {}", said.lines().last().unwrap_or("no answer").trim());
        }
        Ok(Self { program, version: String::from_utf8_lossy(&answer.stdout).trim().to_owned() })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether it has this image.
    pub(crate) fn has(&self, image: &str) -> Result<bool> {
        let quiet = Stdio::null;
        let mut command = Command::new(self.program);
        command.args(["image", "inspect", image]).stdin(quiet()).stdout(quiet()).stderr(quiet());
        Ok(command.status().context("the command docker can't be started")?.success())
    }

    /// Makes an image of a file system.
    pub(super) fn import(&self, root: &Path, image: &str, changes: &[&str]) -> Result<()> {
        let archive = tempfile::NamedTempFile::new()?;
        let owners = ["--owner=0", "--group=0", "--numeric-owner"];
        run(Command::new("tar").args(owners).arg("-C").arg(root).arg("-cf").arg(archive.path()).arg("."))?;
        let mut command = Command::new(self.program);
        command.arg("import");
        for change in changes {
            command.args(["--change", change]);
        }
        run(command.arg(archive.path()).arg(image))
    }
}

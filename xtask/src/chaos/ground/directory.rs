//! A directory as the ground of a run: the file backend's store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use distlock::LockKey;

use super::Removal;
use crate::chaos::journal::now;

pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(within: &Path) -> Result<Self> {
        let locks = within.join("locks");
        std::fs::create_dir(&locks)?;
        Ok(Self(locks))
    }

    pub(super) fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// What `rm -r` does, but for the time it takes: first the whole directory is moved away, so
    /// that it is certain which grants are gone.
    pub(super) fn remove(&self, key: &LockKey) -> Result<Option<Removal>> {
        let (slot, away) = (self.0.join(key.as_str()), self.0.with_file_name("removed"));
        let before = now();
        match std::fs::rename(&slot, &away) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            answer => answer.context("moving a lock's directory away")?,
        }
        let after = now();
        let tokens = tokens_in(&away)?;
        std::fs::remove_dir_all(&away).context("deleting a lock's directory")?;
        Ok(Some(Removal { before, after, tokens }))
    }
}

/// The tokens of all grants in a lock's directory: each generation's second line is its record.
fn tokens_in(directory: &Path) -> Result<Vec<u64>> {
    #[derive(serde::Deserialize)]
    struct Record {
        token: u64,
    }
    let mut tokens = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
            let record = text.lines().nth(1).and_then(|line| serde_json::from_str::<Record>(line.trim_end()).ok());
            tokens.extend(record.map(|record| record.token));
        }
    }
    Ok(tokens)
}

//! Wall clocks that jump: libfaketime in half the clients, told by a file.
//!
//! The monotonic clock is left alone: the journals are kept by it. (That a clock may run fast or slow is tested by
//! the simulation, which has clocks of its own.)

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::servers::faketime;

/// The clocks of a run's clients.
pub(super) struct Clocks {
    library: Option<PathBuf>,
    file: PathBuf,
}

impl Clocks {
    /// Whether the library is to be had is said here, once.
    pub(super) fn find(directory: &Path) -> Result<Self> {
        let library = faketime().inspect_err(|error| println!("chaos: no wall clock jumps: {error:#}"));
        let clocks = Self { library: library.ok(), file: directory.join("clock") };
        std::fs::write(&clocks.file, "+0")?;
        Ok(clocks)
    }

    /// Whether clocks can be set on this machine.
    pub(super) fn are_set(&self) -> bool {
        self.library.is_some()
    }

    /// Gives every other client a clock that can be set.
    pub(super) fn give(&self, command: &mut Command, place: usize) {
        if let Some(library) = self.library.as_ref().filter(|_| place % 2 == 1) {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
            command.env("FAKETIME_CACHE_DURATION", "1");
            // The second name is that of newer versions.
            command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
    }

    /// Sets them up to an hour ahead or back. Answers by how much.
    pub(super) fn set(&self, by: Duration) -> Result<Option<i64>> {
        if self.library.is_none() {
            return Ok(None);
        }
        let ahead_ms = i64::try_from(by.as_nanos() % 7_200_000)? - 3_600_000;
        // Renamed into its place: a reader sees the old time or the new, and never half.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{:+}.{:03}", ahead_ms / 1000, ahead_ms.unsigned_abs() % 1000))?;
        std::fs::rename(&new, &self.file)?;
        Ok(Some(ahead_ms))
    }
}

//! Journals: files to which one process appends lines of JSON.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::Nanos;

/// The time, on the clock that all processes of this host share.
pub(super) fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Where one process writes down what it sees.
pub(super) struct Journal(File);

impl Journal {
    /// A new journal.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create_new(true).open(path);
        Ok(Self(file.with_context(|| format!("creating the journal {}", path.display()))?))
    }

    /// Adds a line, by one write: a process that is killed leaves whole lines, and perhaps a part of a last one.
    ///
    /// # Panics
    /// When it can't be written: a history with holes proves nothing.
    pub(super) fn add(&self, line: &impl Serialize) {
        let mut text = serde_json::to_vec(line).expect("events are plain data");
        text.push(b'\n');
        (&self.0).write_all(&text).expect("the journal can be written");
    }
}

/// The lines of a journal, without a part of one at its end.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("in {}: {line}", path.display())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_last_line_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        std::fs::write(&path, "1\n2\n3").unwrap();
        assert_eq!(read::<u64>(&path).unwrap(), [1, 2]);
        std::fs::write(&path, "{").unwrap();
        assert!(read::<u64>(&path).unwrap().is_empty());
        std::fs::write(&path, "1\nx\n").unwrap();
        assert!(read::<u64>(&path).is_err());
    }

    #[test]
    fn what_is_added_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Journal::create(&path).unwrap();
        let line = super::super::event::Line { at: now(), op: 7, what: super::super::event::What::Exits };
        journal.add(&line);
        assert_eq!(read::<super::super::event::Line>(&path).unwrap(), [line]);
    }
}

//! One lock's directory: its generations, named by their sequence numbers.
//!
//! The highest generation is the current one. Four rules make that safe without any lock around it:
//!
//! 1. A generation is published by an atomic step that fails if its number is taken.
//! 2. Generations are removed in ascending order, by who has published a higher one, and never the
//!    highest. So the highest number never goes down.
//! 3. Who publishes N+1 has assessed N before, and lists the directory *afterwards*: N+1 must be the
//!    highest. Then it was N until that step, so what was assessed was the current generation, and
//!    N+1 had never been used. If a higher one is there, we were late (stopped in between, for
//!    example), or others have followed us already: we leave our file to the next sweep, since
//!    it may be what they followed, and look again. What was assessed must still be at N as
//!    well: should a listing ever miss a name, it takes this too for a grant to be wrong. (On
//!    Linux a listing of so few names is one step of the kernel's.)
//! 4. Into an empty directory generation 1 is published, by the same rule.
//!
//! A late file may lie about below the highest, and may be opened by somebody who listed before it
//! came; what that one publishes then is late, too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lock_core::LockKey;

use crate::name;
use crate::os;

/// Digits of a sequence number, so that names sort as numbers do.
const DIGITS: usize = 20;

/// A lock's directory.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    directory: PathBuf,
}

impl Slot {
    /// The directory of `key` below `root`.
    pub(crate) fn of(root: &Path, key: &LockKey) -> Self {
        Self { directory: root.join(name::directory_name(key, name::FOLDS_CASE)) }
    }

    /// The slot in this directory.
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where generation `number` is.
    pub(crate) fn generation(&self, number: u64) -> PathBuf {
        let mut path = PathBuf::with_capacity(self.directory.as_os_str().len() + DIGITS + 1);
        path.push(&self.directory);
        path.push(format!("{number:0DIGITS$}"));
        path
    }

    /// Where the tickets of those who wait are, while there are any.
    pub(crate) fn queue(&self) -> PathBuf {
        self.directory.join("queue")
    }

    /// The numbers of the generations there are, ascending; none when there is no directory.
    pub(crate) fn generations(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
            answer => answer?,
        };
        for entry in entries {
            numbers.extend(entry?.file_name().to_str().and_then(number_of));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes these generations in ascending order (rule 2). An error ends it: going on would
    /// remove a higher one before a lower one.
    pub(crate) fn sweep(&self, ascending: &[u64]) -> io::Result<()> {
        for number in ascending {
            match os::remove(&self.generation(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The number in a generation's name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    (name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

//! Records that are being prepared: `<dir>/.tmp/<time>.<pid>.<count>`.
//!
//! They have a directory of their own so that nobody who watches a lock is woken by them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::host::Host;
use crate::os;

/// No lock's directory begins with a dot.
pub(crate) const DIRECTORY: &str = ".tmp";
/// Between its creation and its kernel lock a temporary looks abandoned, though it isn't: so
/// only older ones are swept. A process that is stopped there for longer finds its file gone
/// when it publishes, and begins anew.
const MIN_AGE_NS: u64 = 10_000_000_000;

/// Names for temporaries.
#[derive(Debug)]
pub(crate) struct Temporaries {
    directory: PathBuf,
    count: AtomicU64,
}

impl Temporaries {
    pub(crate) fn of(root: &Path) -> Self {
        Self { directory: root.join(DIRECTORY), count: AtomicU64::new(0) }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A name that nobody else uses: another backend of this process may count the same, but
    /// creation is exclusive, and the next name is tried.
    pub(crate) fn next(&self, host: &Host) -> PathBuf {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("{:020}.{}.{count}", host.now(), std::process::id()))
    }

    /// Removes what processes left that died between creating and publishing.
    pub(crate) fn sweep(&self, host: &Host) -> io::Result<()> {
        let now = host.now();
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let born = name.and_then(|name| name.split('.').next()).and_then(|digits| digits.parse::<u64>().ok());
            // A time ahead of ours is from before the boot.
            if born.is_some_and(|born| born <= now && now - born < MIN_AGE_NS) {
                continue;
            }
            match os::is_abandoned(&path) {
                Ok(true) => match os::remove(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

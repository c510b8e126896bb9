//! Windows: locks are mandatory there, so the kernel lock is on a file beside the record, which
//! stays readable: `<dir>/.tmp/<owner>.lock`, wherever the record moves.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_core::OwnerId;

use crate::temporaries::DIRECTORY;

/// The owner names the lock's file, so a record can't change its owner in place.
pub(crate) const MOVES_RECORDS: bool = false;
/// The watch tells of changes, not of a process's end.
pub(crate) const WATCH_TELLS_OF_DEATH: bool = false;

const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;
/// `FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE`: nobody's reading hinders anybody.
const SHARE_ALL: u32 = 7;
/// `FILE_FLAG_OPEN_REPARSE_POINT`: a link itself is opened, and that is no record.
const NO_FOLLOW: u32 = 0x0020_0000;
/// Virus scanners and indexers open new files for a moment.
const TRIES: u32 = 8;

/// A record that this process writes, and the file whose kernel lock it holds meanwhile.
#[derive(Debug)]
pub(crate) struct OwnFile {
    file: File,
    lock: Option<(File, PathBuf)>,
}

impl OwnFile {
    /// A new file at `path`. `WouldBlock`: a probe was faster than our lock; try another.
    pub(crate) fn create(path: &Path, owner: Option<OwnerId>) -> io::Result<Self> {
        let lock = match owner {
            Some(owner) => {
                let beside = lock_path(path, owner);
                let open = || {
                    OpenOptions::new()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(false)
                        .share_mode(SHARE_ALL)
                        .open(&beside)
                };
                let lock = patiently(open)?;
                lock.try_lock().map_err(io::Error::from)?;
                Some((lock, beside))
            }
            None => None,
        };
        let open = || OpenOptions::new().read(true).write(true).create_new(true).share_mode(SHARE_ALL).open(path);
        Ok(Self { file: patiently(open)?, lock })
    }

    /// Writes at the file's beginning.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.seek_write(&bytes[written..], written as u64)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => written += n,
            }
        }
        Ok(())
    }

    /// Whether it is what is at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        is_at(&self.file, path)
    }

    /// The file, for reading.
    #[cfg(test)]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// There are no forked children here.
    #[expect(clippy::unused_self, reason = "where there are, the file knows its creator")]
    pub(crate) fn is_ours(&self) -> bool {
        true
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if let Some((lock, path)) = &self.lock {
            // The end of the handle unlocks it as well; and a file that stays is swept later.
            let _ = lock.unlock();
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The file beside the record that carries the owner's kernel lock.
fn lock_path(record: &Path, owner: OwnerId) -> PathBuf {
    temporaries(record).join(format!("{owner}.lock"))
}

/// The temporaries' directory above a record, a ticket, or a temporary.
fn temporaries(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).take(3);
    above
        .map(|directory| {
            if directory.file_name().is_some_and(|name| name == DIRECTORY) {
                directory.to_owned()
            } else {
                directory.join(DIRECTORY)
            }
        })
        .find(|directory| directory.is_dir())
        .unwrap_or_else(|| PathBuf::from(DIRECTORY))
}

/// Opens a record for reading. A link in its place is an error.
pub(crate) fn open_record(path: &Path) -> io::Result<File> {
    let file = patiently(|| OpenOptions::new().read(true).share_mode(SHARE_ALL).custom_flags(NO_FOLLOW).open(path))?;
    if file.metadata()?.file_type().is_symlink() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(file)
}

/// Reads from the file's beginning.
pub(crate) fn read_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.seek_read(&mut buffer[read..], read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

/// Whether nobody holds the kernel lock that goes with the record. A record whose owner can't be
/// read is taken for held while any owner at all is there.
pub(crate) fn nobody_locks(path: &Path, _file: &File, owner: Option<OwnerId>) -> io::Result<bool> {
    let Some(owner) = owner else {
        for entry in std::fs::read_dir(temporaries(path))? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "lock") && !is_abandoned(&path)? {
                return Ok(false);
            }
        }
        return Ok(true);
    };
    match is_abandoned(&lock_path(path, owner)) {
        // The holder removed it when it let go.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        answer => answer,
    }
}

/// Whether nobody holds the lock of the file at `path`. Probes share it among each other.
pub(crate) fn is_abandoned(path: &Path) -> io::Result<bool> {
    let file = patiently(|| OpenOptions::new().read(true).share_mode(SHARE_ALL).open(path))?;
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether `path` is this very file. The second line of a record names its owner, whom no other
/// file names, and is written once.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = match open_record(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        answer => answer?,
    };
    Ok(second_line(&there)? == second_line(file)?)
}

fn second_line(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 16 * 1024];
    let len = read_start(file, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes.split_off(len.min(crate::record::HEADER_LEN)))
}

/// Whether anything is at `path`.
pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    patiently(|| path.try_exists())
}

/// Gives a file its place by one atomic step that fails with `AlreadyExists` if it is taken.
pub(crate) fn publish(from: &Path, to: &Path) -> io::Result<()> {
    patiently(|| std::fs::hard_link(from, to))?;
    // The other name is litter, if anything: it is swept when it is old.
    let _ = remove(from);
    Ok(())
}

/// Moves a file to a place that nobody else uses.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    patiently(|| std::fs::rename(from, to))
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    patiently(|| std::fs::remove_file(path))
}

/// Creates a directory. What is below a user's own directories is closed to others by inheritance.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// The user's name, which the default directory is named by.
pub(crate) fn user() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "user".to_owned())
}

/// The lease clock: the unbiased interrupt time, which stands still in sleep.
pub(crate) fn monotonic_ns() -> u64 {
    // In units of 100 ns. It has no way to fail but an invalid pointer.
    winsafe::QueryUnbiasedInterruptTime().unwrap_or(0).saturating_mul(100)
}

/// Windows has no name for a boot that costs nothing to ask; see `Host::same_clock`.
pub(crate) fn boot_id() -> Option<String> {
    None
}

/// Windows has no time namespaces.
pub(crate) fn time_namespace() -> Option<String> {
    None
}

/// Not told here.
pub(crate) fn process_started(_pid: u32) -> Option<u64> {
    None
}

/// Files that others have open for a moment refuse us for that moment.
fn patiently<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for tried in 0..TRIES {
        match call() {
            Err(error) if is_passing(&error) => std::thread::sleep(Duration::from_millis(1 << tried.min(4))),
            answer => return answer,
        }
    }
    call()
}

fn is_passing(error: &io::Error) -> bool {
    // ERROR_ACCESS_DENIED is also how a file that is about to vanish answers.
    error.kind() == io::ErrorKind::PermissionDenied
        || matches!(error.raw_os_error(), Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
}

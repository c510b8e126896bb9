//! Linux and macOS: the kernel lock is `flock` on the record itself.
//!
//! POSIX record locks would not do: closing any descriptor of the file drops them.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use lock_core::OwnerId;
use rustix::fs::{CWD, OFlags, RenameFlags};
use rustix::io::Errno;

/// A process may take its own released record forward in place (see `reuse.rs`).
pub(crate) const MOVES_RECORDS: bool = true;

/// inotify tells that a file open for writing was closed, so of its holder's death; kqueue doesn't.
pub(crate) const WATCH_TELLS_OF_DEATH: bool = cfg!(target_os = "linux");

/// A record that this process writes, and whose kernel lock it holds until this is dropped.
#[derive(Debug)]
pub(crate) struct OwnFile {
    file: File,
    /// Who created it. A forked child has the same opening of the file, but nothing that is its own.
    pid: u32,
    /// Its device and number, since somebody asked: an open file keeps them.
    identity: OnceLock<Identity>,
}

type Identity = (rustix::fs::Dev, u64);

impl OwnFile {
    /// A new file at `path`, locked. `WouldBlock`: a probe was faster than our lock; try another.
    pub(crate) fn create(path: &Path, _owner: Option<OwnerId>) -> io::Result<Self> {
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, pid: std::process::id(), identity: OnceLock::new() }),
            Err(error) => {
                std::fs::remove_file(path)?;
                Err(error.into())
            }
        }
    }

    /// Writes at the file's beginning, by one call.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, 0)
    }

    /// The file, for reading.
    #[cfg(test)]
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Whether it is what is at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let known = self.identity.get().copied();
        let ours = known.map_or_else(|| identity_of(&self.file), Ok)?;
        let ours = *self.identity.get_or_init(|| ours);
        Ok(identity_at(path)? == Some(ours))
    }

    /// Whether this process created it, and not one that it was forked from.
    pub(crate) fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    /// As if this process were a forked child of the one that created it.
    #[cfg(test)]
    pub(crate) fn fork_for_test(&mut self) {
        self.pid += 1;
    }
}

impl Drop for OwnFile {
    /// Unlocks by word: a child forked meanwhile may keep the descriptor, and with it the lock. In
    /// that child the same word would free its parent's lock.
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // Fails only if the descriptor is no file, and then there is no lock.
        let _ = self.file.unlock();
    }
}

/// Opens a record for reading. A symbolic link in its place is an error.
pub(crate) fn open_record(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Reads from the file's beginning.
pub(crate) fn read_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Whether nobody holds the record's kernel lock: its holder let go, or its process is gone.
///
/// The probe is a *shared* lock, so that two probes at once don't take each other for a holder.
pub(crate) fn nobody_locks(_path: &Path, file: &File, _owner: Option<OwnerId>) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the process that was preparing the file at `path` is gone.
pub(crate) fn is_abandoned(path: &Path) -> io::Result<bool> {
    nobody_locks(path, &open_record(path)?, None)
}

/// Whether `path` is this very file. An open file's number isn't given to another one.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = identity_at(path)?;
    Ok(there.is_some() && there == Some(identity_of(file)?))
}

fn identity_of(file: &File) -> io::Result<Identity> {
    let stat = rustix::fs::fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn identity_at(path: &Path) -> io::Result<Option<Identity>> {
    match rustix::fs::lstat(path) {
        Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether anything is at `path`.
pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    match rustix::fs::lstat(path) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives a file its place by one atomic step that fails with `AlreadyExists` if it is taken.
pub(crate) fn publish(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => publish_by_link(from, to),
        answer => Ok(answer?),
    }
}

/// The same where the file system has no such rename.
pub(crate) fn publish_by_link(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

/// Moves a file to a place that nobody else uses.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Creates a directory that nobody else may enter.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    // By one call: an empty queue may be removed by others as soon as it is there.
    DirBuilder::new().mode(0o700).create(path)
}

/// This user's number.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Owner and mode of a directory, without following a link at its end.
pub(crate) fn owner_and_mode(path: &Path) -> io::Result<(u32, u32)> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok((meta.uid(), meta.mode()))
}

/// The lease clock. `CLOCK_MONOTONIC` stands still in suspend.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    nanos(now.tv_sec, now.tv_nsec)
}

/// The lease clock. `CLOCK_MONOTONIC` goes on in a Mac's sleep, `CLOCK_UPTIME_RAW` doesn't.
#[cfg(target_vendor = "apple")]
pub(crate) fn monotonic_ns() -> u64 {
    let clock = nix::time::ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW);
    // Refused for an unknown clock only, and macOS has had this one since 10.12.
    nix::time::clock_gettime(clock).map_or(0, |now| nanos(now.tv_sec(), now.tv_nsec()))
}

fn nanos(seconds: i64, nanos: i64) -> u64 {
    u64::try_from(seconds * 1_000_000_000 + nanos).unwrap_or(0)
}

/// The name of this boot, where /proc tells it.
pub(crate) fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// The name of this process's time namespace, where there are any.
pub(crate) fn time_namespace() -> Option<String> {
    Some(std::fs::read_link("/proc/self/ns/time").ok()?.to_string_lossy().into_owned())
}

/// When a process was started, in ticks since the boot, where /proc tells it.
pub(crate) fn process_started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in parentheses, is the program's name and may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

//! From the operating system's errors to the backend's, each with what the reader can do.

use std::io;
use std::path::Path;

use lock_core::{BackendError, ErrorKind, Operation, Retry};

/// What went wrong while `doing` something to `path`.
pub(crate) fn from_io(operation: Operation, doing: &str, path: &Path, error: io::Error) -> BackendError {
    let shown = path.display();
    let (kind, retry, advice) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            ErrorKind::PermissionDenied,
            Retry::Permanent,
            format!("files there must be this user's: look with `ls -la {shown}`, or choose another directory"),
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            ErrorKind::PermissionDenied,
            Retry::Permanent,
            format!("the file system of {shown} is read-only; choose another directory"),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            ErrorKind::ResourceExhausted,
            Retry::Transient,
            format!("make room: look with `df -h {shown}`, `df -i {shown}` and `quota`"),
        ),
        io::ErrorKind::FileTooLarge => (
            ErrorKind::ResourceExhausted,
            Retry::Permanent,
            "this process may write no files of that size: look with `ulimit -f`".to_owned(),
        ),
        _ if out_of_descriptors(&error) => (
            ErrorKind::ResourceExhausted,
            Retry::Transient,
            "each lock held needs a file descriptor: raise the limit with `ulimit -n`".to_owned(),
        ),
        _ if in_the_way(&error) => (
            ErrorKind::Conflict,
            Retry::Permanent,
            format!("something that isn't a lock of ours is in its place: look with `ls -la {shown}`"),
        ),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            (ErrorKind::Protocol, Retry::Permanent, "nothing was changed".to_owned())
        }
        // A lock file in use can't move away for good: what vanished or is busy is looked at again.
        _ => (ErrorKind::Unavailable, Retry::Transient, format!("look with `ls -la {shown}` and `dmesg`")),
    };
    BackendError::new(kind, operation, format!("{doing} {shown}: {error}"))
        .with_retry(retry)
        .with_advice(advice)
        .with_source(error)
}

#[cfg(unix)]
fn out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(windows)]
fn out_of_descriptors(error: &io::Error) -> bool {
    // ERROR_TOO_MANY_OPEN_FILES
    error.raw_os_error() == Some(4)
}

/// A directory where a file should be, the other way round, or a symbolic link.
fn in_the_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return true;
    }
    matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

/// Names the path in a result's error.
pub(crate) trait At<T> {
    fn at(self, operation: Operation, doing: &str, path: &Path) -> Result<T, BackendError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, operation: Operation, doing: &str, path: &Path) -> Result<T, BackendError> {
        self.map_err(|error| from_io(operation, doing, path, error))
    }
}

//! The directory of all locks: where it is by default, and what it must be like.

use std::io;
use std::path::{Path, PathBuf};

use lock_core::{BackendError, ErrorKind, Operation};

use crate::error::At;
use crate::os;

/// `$XDG_RUNTIME_DIR/distlock`, else `distlock-<user>` below the system's temporary directory.
pub(crate) fn default_path() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(runtime) => runtime.join("distlock"),
        None => std::env::temp_dir().join(format!("distlock-{}", os::user())),
    }
}

/// Creates the directory and those above it; ours is closed to everybody else.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match os::create_private_directory(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        answer => answer,
    }
}

/// Refuses what is no directory of this user's alone. For the default directory: it may be below
/// `/tmp`, where anybody can have created it before us, or planted a link to elsewhere.
#[cfg(unix)]
pub(crate) fn check_private(path: &Path) -> Result<(), BackendError> {
    let (owner, mode) = os::owner_and_mode(path).at(Operation::Connect, "looking at", path)?;
    let refuse = |what: String| {
        Err(BackendError::new(ErrorKind::PermissionDenied, Operation::Connect, format!("{} {what}", path.display()))
            .with_advice(format!(
                "look who made it with `ls -ld {}`, remove it, or choose another directory",
                path.display()
            )))
    };
    if mode & S_IFMT == S_IFLNK {
        return refuse("is a symbolic link, and whoever planted it could lead the locks elsewhere".to_owned());
    }
    if mode & S_IFMT != S_IFDIR {
        return refuse("is not a directory".to_owned());
    }
    if owner != os::user() {
        return refuse(format!("belongs to user {owner}, not to this one ({})", os::user()));
    }
    if mode & 0o022 != 0 {
        return refuse(format!("may be written by others (mode {:o})", mode & 0o777));
    }
    Ok(())
}

/// A per-user directory of Windows is closed to others by inheritance.
#[cfg(windows)]
pub(crate) fn check_private(_path: &Path) -> Result<(), BackendError> {
    Ok(())
}

#[cfg(unix)]
pub(crate) const S_IFMT: u32 = 0o170_000;
#[cfg(unix)]
pub(crate) const S_IFLNK: u32 = 0o120_000;
#[cfg(unix)]
pub(crate) const S_IFDIR: u32 = 0o040_000;

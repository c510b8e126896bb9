//! The directory of all locks: where it is by default, and what it must be like.

use std::io;
use std::path::{Path, PathBuf};

use lock_core::BackendError;
#[cfg(unix)]
use lock_core::{ErrorKind, Operation};

#[cfg(unix)]
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
    let Some(what) = objection(owner, mode, os::user()) else { return Ok(()) };
    let shown = path.display();
    Err(BackendError::new(ErrorKind::PermissionDenied, Operation::Connect, format!("{shown} {what}"))
        .with_advice(format!("look who made it with `ls -ld {shown}`, remove it, or choose another directory")))
}

/// What is wrong with a directory of this owner and mode, for this user.
#[cfg(unix)]
fn objection(owner: u32, mode: u32, user: u32) -> Option<String> {
    const FILE_TYPE: u32 = 0o170_000;
    const LINK: u32 = 0o120_000;
    const DIRECTORY: u32 = 0o040_000;
    const OTHERS_WRITE: u32 = 0o022;
    match mode & FILE_TYPE {
        LINK => Some("is a symbolic link, and whoever planted it could lead the locks elsewhere".to_owned()),
        DIRECTORY if owner != user => Some(format!("belongs to user {owner}, not to this one ({user})")),
        DIRECTORY if mode & OTHERS_WRITE != 0 => Some(format!("may be written by others (mode {:o})", mode & 0o777)),
        DIRECTORY => None,
        _ => Some("is not a directory".to_owned()),
    }
}

/// A per-user directory of Windows is closed to others by inheritance.
#[cfg(windows)]
pub(crate) fn check_private(_path: &Path) -> Result<(), BackendError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn fault_60_only_a_directory_of_this_user_alone_is_private() {
        assert_eq!(objection(7, 0o040_700, 7), None);
        assert_eq!(objection(7, 0o040_755, 7), None);
        for (owner, mode, part) in [
            (8, 0o040_700, "belongs to user 8"),
            (0, 0o040_700, "belongs to user 0"),
            (7, 0o040_770, "written by others"),
            (7, 0o041_777, "written by others"),
            (7, 0o120_777, "symbolic link"),
            (7, 0o100_600, "not a directory"),
        ] {
            let said = objection(owner, mode, 7).unwrap();
            assert!(said.contains(part), "{said}");
        }
    }
}

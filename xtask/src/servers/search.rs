//! Where a program may be already.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::program::Program;

/// Where distributions put servers, and which is not in everybody's `PATH`.
const MORE: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The program's file: the one that its variable names, else the first in the `PATH`, else one fetched earlier.
///
/// # Errors
/// When the variable names what isn't there: whoever set it meant that one, and no other.
pub(super) fn find(program: Program, fetched: &Path) -> Result<Option<PathBuf>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(MORE.map(PathBuf::from)).chain([fetched.to_owned()]);
    find_in(program, std::env::var_os(program.variable()).as_deref(), directories)
}

fn find_in(
    program: Program,
    named: Option<&OsStr>,
    mut directories: impl Iterator<Item = PathBuf>,
) -> Result<Option<PathBuf>> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        if !is_program(&named) {
            bail!("{} names {}, where no program is", program.variable(), named.display());
        }
        return Ok(Some(named));
    }
    Ok(directories.find_map(|directory| {
        // A relative entry of the PATH means something else where the tests run.
        let file = directory.join(program.name());
        (directory.is_absolute() && is_program(&file)).then_some(file)
    }))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program_in(directory: &Path, name: &str) -> PathBuf {
        let file = directory.join(name);
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn the_variable_comes_first_then_the_path_then_what_was_fetched() {
        let [path, fetched, named] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let directories = || [path.path(), fetched.path()].map(Path::to_owned).into_iter();
        let find = |named: Option<&Path>| find_in(Program::Etcd, named.map(Path::as_os_str), directories()).unwrap();
        assert_eq!(find(None), None);
        let in_fetched = program_in(fetched.path(), "etcd");
        assert_eq!(find(None), Some(in_fetched));
        let in_path = program_in(path.path(), "etcd");
        assert_eq!(find(None), Some(in_path.clone()));
        assert_eq!(find(Some(Path::new(""))), Some(in_path));
        let other = program_in(named.path(), "my-etcd");
        assert_eq!(find(Some(&other)), Some(other));
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error_and_no_other_program_is_taken() {
        let path = tempfile::tempdir().unwrap();
        program_in(path.path(), "consul");
        let missing = path.path().join("missing");
        let error = find_in(Program::Consul, Some(missing.as_os_str()), [path.path().to_owned()].into_iter());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("DISTLOCK_CONSUL") && error.contains("missing"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_program() {
        let path = tempfile::tempdir().unwrap();
        std::fs::write(path.path().join("etcd"), "").unwrap();
        assert_eq!(find_in(Program::Etcd, None, [path.path().to_owned()].into_iter()).unwrap(), None);
    }
}

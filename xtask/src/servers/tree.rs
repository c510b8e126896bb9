//! A file system for one program: its file, the libraries that it needs, and nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::libraries::Root;

/// Copies the program, which is `file` in `from`, to `place` in the new file system at `to`, and its libraries to
/// where it expects them. Links are followed.
pub(super) fn plant(from: &Root, file: &Path, place: &Path, to: &Path) -> Result<()> {
    copy(file, to, place)?;
    for library in from.libraries(file)? {
        copy(&library.file, to, &library.expected)?;
    }
    Ok(())
}

/// Copies one file to an absolute path in the file system at `to`.
pub(super) fn copy(file: &Path, to: &Path, path: &Path) -> Result<()> {
    let place = to.join(path.strip_prefix("/").unwrap_or(path));
    let parent = place.parent().context("a file has a directory")?;
    fs::create_dir_all(parent)?;
    fs::copy(file, &place).with_context(|| format!("copying {} to {}", file.display(), place.display()))?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    /// A system whose shell is another's works too: whatever loader it has, it is copied.
    #[test]
    fn a_planted_program_runs_with_its_own_loader_and_libraries() {
        let root = tempfile::tempdir().unwrap();
        plant(&Root::here(), Path::new("/bin/sh"), Path::new("/usr/bin/sh"), root.path()).unwrap();
        let planted = Root::new(root.path().to_owned());
        let program = planted.program("sh").unwrap();
        let needed = planted.libraries(&program).unwrap();
        assert!(!needed.is_empty() && needed.iter().all(|needed| needed.file.starts_with(root.path())), "{needed:?}");
        let said = Command::new(planted.loader().unwrap())
            .arg("--library-path")
            .arg(std::env::join_paths(planted.library_directories()).unwrap())
            .arg(&program)
            .args(["-c", "echo it runs"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "it runs\n");
    }
}

//! Where a server's program is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The program that the environment variable `variable` names, else `name` in the `PATH`.
///
/// # Errors
/// When there is none; the error says what to do.
pub fn find(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() {
            Ok(named)
        } else {
            bail!("{variable} names {}, which is not there", named.display())
        };
    }
    let path = std::env::var_os("PATH").context("there is no PATH")?;
    // Where distributions put servers, and which is not in everybody's PATH.
    let directories = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|file| is_program(file)).with_context(|| {
        format!("{name} is not installed: \"cargo xtask test\" provides it, or name its file in {variable}")
    })
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_missing_program_is_an_error_that_says_what_to_do() {
        let error = super::find("no-such-server", "DISTLOCK_NO_SUCH_SERVER").unwrap_err().to_string();
        assert!(error.contains("cargo xtask test") && error.contains("DISTLOCK_NO_SUCH_SERVER"), "{error}");
    }
}

//! Which libraries a program needs, as the loader tells it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A file system with programs in it: this system's own, or one that was unpacked.
#[derive(Debug, Clone)]
pub(super) struct Root(PathBuf);

/// A file of this system, and where a program expects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) file: PathBuf,
    pub(super) expected: PathBuf,
}

impl Root {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// This system.
    pub(super) fn here() -> Self {
        Self("/".into())
    }

    /// A program in one of the usual places.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        let places = ["usr/bin", "usr/sbin", "bin", "sbin"];
        places.iter().map(|place| self.0.join(place).join(name)).find(|file| file.exists())
    }

    /// Where libraries are: beside each other, or in a directory for the architecture.
    pub(super) fn library_directories(&self) -> Vec<PathBuf> {
        let mut directories = Vec::new();
        for place in ["lib", "usr/lib", "lib64", "usr/lib64"].map(|place| self.0.join(place)) {
            let inner = std::fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut inner: Vec<_> =
                inner.filter(|path| path.is_dir() && path.to_string_lossy().ends_with("-linux-gnu")).collect();
            inner.sort();
            directories.extend(inner);
            directories.push(place);
        }
        directories.retain(|directory| directory.is_dir());
        directories
    }

    /// The loader of the C library.
    pub(super) fn loader(&self) -> Result<PathBuf> {
        let root = self.0.canonicalize().with_context(|| format!("{} is not there", self.0.display()))?;
        let is_loader = |file: &PathBuf| {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // A link may be to the system's own loader, which has another version.
            let is_inside = || file.canonicalize().is_ok_and(|file| file.starts_with(&root));
            name.starts_with("ld-linux") && name.contains(".so.") && is_inside()
        };
        let mut files = self.library_directories().into_iter().flat_map(|directory| {
            std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
        });
        files.find(is_loader).with_context(|| format!("no loader of a C library is in {}", self.0.display()))
    }

    /// The libraries that the program needs, the loader among them.
    pub(super) fn libraries(&self, program: &Path) -> Result<Vec<Needed>> {
        let here = self.0 == Path::new("/");
        let mut command = Command::new(if here { "ldd".into() } else { self.loader()? });
        if !here {
            command.arg("--library-path").arg(std::env::join_paths(self.library_directories())?).arg("--list");
        }
        let answer = command.arg(program).env_remove("LD_PRELOAD").output().context("ldd can't be started")?;
        let (said, complaint) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        // A static program needs nothing; only ldd calls that a failure.
        if !answer.status.success() && !is_static(&complaint) {
            bail!("asking for the libraries of {}: {}", program.display(), complaint.trim());
        }
        parse(&said)
            .and_then(|libraries| libraries.into_iter().map(|library| self.needed(library)).collect())
            .with_context(|| format!("the libraries of {}", program.display()))
    }

    fn needed(&self, Library { name, file }: Library) -> Result<Needed> {
        let Ok(path) = file.strip_prefix(&self.0) else { bail!("{} is found on this system alone", file.display()) };
        // The loader is asked for by its path.
        let expected = if name.starts_with('/') { name.into() } else { Path::new("/").join(path) };
        Ok(Needed { file, expected })
    }
}

fn is_static(text: &str) -> bool {
    text.contains("statically linked") || text.contains("not a dynamic executable")
}

/// A line that ldd prints: what is asked for, and what is found.
#[derive(Debug, PartialEq, Eq)]
struct Library {
    name: String,
    file: PathBuf,
}

/// The files in what ldd prints. What the kernel provides is none.
fn parse(text: &str) -> Result<Vec<Library>> {
    let mut libraries = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_static(line)) {
        let (name, found) = line.split_once(" => ").unwrap_or((line, line));
        if found.starts_with("not found") {
            bail!("{name} is not found");
        }
        let without_address = |text: &str| text.rsplit_once(" (").map_or(text, |(file, _)| file).to_owned();
        let file = without_address(found);
        if file.starts_with('/') {
            libraries.push(Library { name: without_address(name), file: file.into() });
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, file: &str) -> Library {
        Library { name: name.to_owned(), file: file.into() }
    }

    #[test]
    fn libraries_and_the_loader_are_files_and_the_kernels_is_none() {
        let text = "\tlinux-vdso.so.1 (0x00007f83f5df0000)\n\
                    \tlibatomic.so.1 => /lib/x86_64-linux-gnu/libatomic.so.1 (0x00007f83f5dd5000)\n\
                    \tlibc.so.6 => /srv/my (old) libs/libc.so.6 (0x00007f83f4e1e000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f83f5df2000)\n";
        let wanted = [
            library("libatomic.so.1", "/lib/x86_64-linux-gnu/libatomic.so.1"),
            library("libc.so.6", "/srv/my (old) libs/libc.so.6"),
            library("/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2"),
        ];
        assert_eq!(parse(text).unwrap(), wanted);
    }

    #[test]
    fn a_missing_library_is_an_error_that_names_it() {
        let error = parse("\tlibjemalloc.so.2 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libjemalloc.so.2"), "{error}");
    }

    #[test]
    fn a_static_program_needs_nothing() {
        assert_eq!(parse("\tstatically linked\n").unwrap(), []);
    }

    #[test]
    fn in_a_root_the_loader_is_expected_where_it_is_asked_for_and_libraries_where_they_are() {
        let root = Root::new("/some/root".into());
        let loader = library("/lib64/ld-linux.so.2", "/some/root/usr/lib/ld-linux.so.2");
        assert_eq!(root.needed(loader).unwrap().expected, Path::new("/lib64/ld-linux.so.2"));
        let libc = library("libc.so.6", "/some/root/usr/lib/libc.so.6");
        assert_eq!(root.needed(libc).unwrap().expected, Path::new("/usr/lib/libc.so.6"));
    }

    #[test]
    fn a_library_of_the_system_does_not_fill_a_gap_in_a_root() {
        let error = Root::new("/some/root".into()).needed(library("libc.so.6", "/usr/lib/libc.so.6"));
        assert!(error.unwrap_err().to_string().contains("this system alone"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_systems_shell_needs_libraries_that_are_there() {
        let needed = Root::here().libraries(Path::new("/bin/sh")).unwrap();
        assert!(needed.iter().all(|needed| needed.file.exists()), "{needed:?}");
    }
}

//! Programs from packages, unpacked into the target directory and run from there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::Apt;
use super::libraries::Root;
use super::program::Program;
use super::suite::Suite;
use super::tree;
use crate::cargo::target;

/// The programs fetched from one source, each with a launcher in one directory.
pub(super) struct Fetched {
    directory: PathBuf,
    newer: bool,
}

impl Fetched {
    /// Those of the system's own suite (and of others, where that has none).
    pub(super) fn native() -> Self {
        Self { directory: target().join("servers/native"), newer: false }
    }

    /// Those of a newer suite.
    pub(super) fn newer() -> Self {
        Self { directory: target().join("servers/newer"), newer: true }
    }

    /// Where the launchers are.
    pub(super) fn programs(&self) -> &Path {
        &self.directory
    }

    /// Fetches what isn't there yet.
    pub(super) fn fetch(&self, programs: &[Program]) -> Result<Vec<(Program, PathBuf)>> {
        let mut files = Vec::new();
        for program in programs {
            let launcher = self.directory.join(program.name());
            if !launcher.exists() {
                let root = self.root(*program)?;
                let file = root.program(program.name()).context("the program that was unpacked")?;
                write_program(&launcher, &launcher_of(&root, &file)?)?;
            }
            files.push((*program, launcher));
        }
        // Lists and archives are big, and old tomorrow.
        let _ = fs::remove_dir_all(self.directory.join("apt"));
        Ok(files)
    }

    /// A file system with this program and the libraries that it needs, and nothing else.
    fn root(&self, program: Program) -> Result<Root> {
        let roots = self.directory.join("roots");
        let place = roots.join(program.name());
        if !place.exists() {
            fs::create_dir_all(&roots)?;
            let suite = if self.newer { Suite::newer()? } else { Suite::with(program)? };
            let apt = Apt::new(self.directory.join("apt").join(&suite.name), suite);
            let everything = tempfile::tempdir_in(&roots)?;
            apt.unpack(&[program.package()], everything.path())?;
            // In a directory of its own until it is whole.
            let lean = tempfile::tempdir_in(&roots)?;
            let everything = Root::new(everything.path().to_owned());
            let file = everything.program(program.name());
            let file = file.with_context(|| format!("no {} is in {}", program.name(), program.package()))?;
            tree::plant(&everything, &file, &Path::new("/usr/bin").join(program.name()), lean.path())?;
            fs::rename(lean.keep(), &place)?;
        }
        Ok(Root::new(place))
    }
}

/// The file system that a program's file belongs to: this one's, or that of a launcher; and the file in it.
pub(super) fn root_of(program: Program, file: &Path) -> (Root, PathBuf) {
    let own = file.parent().map(|directory| Root::new(directory.join("roots").join(program.name())));
    let found = own.and_then(|root| root.program(program.name()).map(|file| (root, file)));
    found.unwrap_or_else(|| (Root::here(), file.to_owned()))
}

/// A script that runs the program with the loader and the libraries of its own file system: it works whatever
/// libraries this system has. The process becomes the server: its id is the server's.
fn launcher_of(root: &Root, file: &Path) -> Result<String> {
    let libraries = std::env::join_paths(root.library_directories())?;
    let [loader, libraries, file] = [root.loader()?.as_os_str(), &libraries, file.as_os_str()].map(quoted);
    Ok(format!("#!/bin/sh\nexec {loader} --library-path {libraries} {file} \"$@\"\n"))
}

fn quoted(text: &std::ffi::OsStr) -> String {
    format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"))
}

/// Writes it under another name first: a run that is ended meanwhile leaves no half of it.
fn write_program(file: &Path, text: &str) -> Result<()> {
    let unfinished = file.with_extension("unfinished");
    fs::write(&unfinished, text)?;
    #[cfg(unix)]
    fs::set_permissions(&unfinished, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(fs::rename(unfinished, file)?)
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_launcher_passes_its_arguments_on_and_becomes_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("it's a root");
        for part in ["lib64", "usr/lib"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        // A loader that tells what it was given.
        write_program(&root.join("lib64/ld-linux-test.so.2"), "#!/bin/sh\necho \"$$ $*\"\n").unwrap();
        let file = root.join("server");
        let launcher = directory.path().join("server");
        write_program(&launcher, &launcher_of(&Root::new(root.clone()), &file).unwrap()).unwrap();
        let child =
            Command::new(&launcher).args(["--port", "1 2"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(said.starts_with(&format!("{pid} --library-path ")), "{said}");
        assert!(said.ends_with(&format!("{} --port 1 2\n", file.display())), "{said}");
    }
}

//! The servers that the tests need: where their programs are, and how they get here.
//!
//! A program is looked for in its environment variable, in the `PATH`, and among those that an earlier run has
//! fetched. One that is nowhere is fetched from the distribution's packages, into the target directory: nothing is
//! installed, no service is started, and no right is needed that building doesn't need.

mod advice;
mod again;
mod apt;
mod command;
mod engine;
#[cfg(unix)]
mod faketime;
mod fetch;
mod images;
mod libraries;
mod program;
mod search;
mod suite;
mod tree;

pub(crate) use again::again_with;
pub(crate) use command::{Options, images, servers};
pub(crate) use engine::Engine;
#[cfg(unix)]
pub(crate) use faketime::faketime;
pub(crate) use images::{Made, make};
pub(crate) use program::Server;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use fetch::Fetched;
use program::Program;

/// Where each program is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Servers {
    found: Vec<(Program, PathBuf)>,
}

impl Servers {
    /// The programs of these servers; what is missing is fetched.
    ///
    /// # Errors
    /// When a program isn't here and can't be fetched. The error says, for each, what to do.
    pub(crate) fn provide(wanted: &[Server]) -> Result<Self> {
        let fetched = Fetched::native();
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for program in wanted.iter().flat_map(|server| server.programs()) {
            match search::find(*program, fetched.programs())? {
                Some(file) => found.push((*program, file)),
                None => missing.push(*program),
            }
        }
        if !missing.is_empty() {
            let names = missing.iter().map(|program| program.name()).collect::<Vec<_>>().join(", ");
            eprintln!("servers: {names} not installed: fetching the distribution's packages into target/servers");
            match fetched.fetch(&missing) {
                Ok(files) => found.extend(files),
                Err(error) => bail!("{}", advice::for_the_missing(&missing, &error)),
            }
        }
        Ok(Self { found })
    }

    /// A server of a newer suite, fetched.
    ///
    /// # Errors
    /// When it can't be fetched: where there is no such suite, or no network.
    pub(crate) fn newer(server: Server) -> Result<Self> {
        Ok(Self { found: Fetched::newer().fetch(server.programs())? })
    }

    /// What the tests' environment has to say: a variable for each program, and a `PATH` that finds them too.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> =
            self.found.iter().map(|(program, file)| (program.variable().into(), file.into())).collect();
        let mut directories: Vec<PathBuf> =
            self.found.iter().filter_map(|(_, file)| file.parent().map(Path::to_path_buf)).collect();
        directories.sort();
        directories.dedup();
        let path = std::env::var_os("PATH").unwrap_or_default();
        // After the user's own: what is found there is what was meant.
        let all = std::env::split_paths(&path).chain(directories);
        if let Ok(path) = std::env::join_paths(all) {
            variables.push(("PATH".into(), path));
        }
        variables
    }

    /// Each program and its file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (Program, &Path)> {
        self.found.iter().map(|(program, file)| (*program, file.as_path()))
    }
}

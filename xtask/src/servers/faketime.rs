//! libfaketime, with which a process's wall clock jumps: installed, or fetched as the servers are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::apt::Apt;
use super::suite::Suite;
use crate::cargo::target;

/// The library, and its package in Debian and its children.
const LIBRARY: &str = "libfaketime.so.1";
const PACKAGE: &str = "libfaketime";

/// Where distributions put it.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
];

/// The library's file; fetched if it isn't here.
///
/// # Errors
/// When it isn't here and can't be fetched, or when programs of this system don't take it.
pub(crate) fn faketime() -> Result<PathBuf> {
    let installed = PLACES.iter().map(|place| Path::new(place).join(LIBRARY)).find(|file| file.exists());
    let file = installed.map_or_else(fetched, Ok)?;
    see_that_it_works(&file)?;
    Ok(file)
}

fn fetched() -> Result<PathBuf> {
    let directory = target().join("servers/native");
    let file = directory.join(LIBRARY);
    if !file.exists() {
        eprintln!("chaos: {PACKAGE} is not installed: fetching the distribution's package into target/servers");
        // It is loaded into programs of this system: no other suite's will do.
        let suite = Suite::native()?;
        fs::create_dir_all(&directory)?;
        let (lists, root) = (tempfile::tempdir_in(&directory)?, tempfile::tempdir_in(&directory)?);
        Apt::new(lists.path().to_owned(), suite).unpack(&[PACKAGE], root.path())?;
        let unpacked = fs::read_dir(root.path().join("usr/lib"))?.flatten();
        let mut unpacked = unpacked.map(|entry| entry.path().join("faketime").join(LIBRARY));
        let unpacked = unpacked.find(|file| file.exists()).with_context(|| format!("no {LIBRARY} is in {PACKAGE}"))?;
        // Under another name first: a run that is ended meanwhile leaves no half of it.
        let unfinished = file.with_extension("unfinished");
        fs::copy(unpacked, &unfinished)?;
        fs::rename(unfinished, &file)?;
    }
    Ok(file)
}

/// A library that can't be loaded is ignored, and clocks would stay as they are.
fn see_that_it_works(file: &Path) -> Result<()> {
    let said = Command::new("date").arg("+%Y").env("LD_PRELOAD", file).env("FAKETIME", "@2001-01-01 12:00:00").output();
    let said = said.context("date can't be started")?;
    let (year, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    ensure!(year.trim() == "2001", "{} has no effect: {}", file.display(), error.trim());
    Ok(())
}

//! Completion scripts and manual pages, made from the command line's definitions.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{self, Failure};
use crate::output;

pub(crate) fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "distlock", &mut script);
    output::answer(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}

/// The manual page, or a page for each command in `directory`.
pub(crate) fn manual(directory: Option<&Path>) -> Result<u8, Failure> {
    if let Some(directory) = directory {
        std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
            .map_err(|error| Failure::new(exit::OUTPUT, format!("can't write to {}: {error}", directory.display())))?;
        return Ok(exit::DONE);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(|error| Failure::new(exit::OUTPUT, error))?;
    output::answer(&String::from_utf8_lossy(&page))?;
    Ok(exit::DONE)
}

//! A command that starts servers in its own process, as `cargo xtask chaos` does.

use std::process::{Command, ExitCode};

use anyhow::Result;

use super::{Server, Servers};
use crate::cargo::exit_code;

/// Provides the servers, and runs this very command again with variables that name them; `None` when they are set
/// already. (A program can't safely change its own environment.)
pub(crate) fn again_with(wanted: &[Server]) -> Result<Option<ExitCode>> {
    let is_named = |variable: &str| std::env::var_os(variable).is_some_and(|named| !named.is_empty());
    if wanted.iter().flat_map(|server| server.programs()).all(|program| is_named(program.variable())) {
        return Ok(None);
    }
    let servers = Servers::provide(wanted)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).envs(servers.environment());
    Ok(Some(exit_code(command.status()?)))
}

//! Peers in Python, in a virtual environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// Where the virtual environment is, once [`install`] has made it.
fn environment() -> PathBuf {
    let target = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_owned()));
    target.unwrap_or_else(|| "target".into()).join("bench-python")
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Makes the virtual environment and installs what `bench/peers/requirements.txt` names.
pub(crate) fn install() -> Result<()> {
    let (environment, scripts) = (environment(), scripts());
    if !environment.join("bin/python").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let mut pip = Command::new(environment.join("bin/pip"));
    run(pip.args(["install", "--quiet", "--requirement"]).arg(scripts.join("requirements.txt")))
}

/// A worker in Python.
pub(crate) fn python(module: &str) -> Result<Command> {
    let python = environment().join("bin/python");
    ensure!(python.exists(), "peers in Python are measured with --python");
    let mut command = Command::new(python);
    command.arg(scripts().join("peer.py")).args(["--module", module]);
    Ok(command)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

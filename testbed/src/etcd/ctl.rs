//! The command etcdctl: an independent client to hold ours against.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Result, bail};

use super::Certificates;
use crate::binary;

/// etcdctl for one cluster.
#[derive(Debug, Clone)]
pub struct Etcdctl {
    file: PathBuf,
    arguments: Vec<String>,
}

impl Etcdctl {
    pub(super) fn new(endpoints: &[String], tls: Option<Arc<Certificates>>, with_own: bool) -> Result<Self> {
        let file = binary::find("etcdctl", "DISTLOCK_ETCDCTL")?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| format!("{scheme}://{endpoint}")).collect();
        let mut arguments = vec![format!("--endpoints={}", endpoints.join(",")), "--dial-timeout=2s".to_owned()];
        if let Some(tls) = tls {
            arguments.push(format!("--cacert={}", tls.ca().display()));
            if with_own {
                let (certificate, key) = tls.client();
                arguments.push(format!("--cert={}", certificate.display()));
                arguments.push(format!("--key={}", key.display()));
            }
        }
        Ok(Self { file, arguments })
    }

    /// Logs in as this user.
    pub fn with_user(mut self, name: &str, password: &str) -> Self {
        self.arguments.push(format!("--user={name}:{password}"));
        self
    }

    /// The command with these arguments, to be started by the caller.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.file);
        command.env("ETCDCTL_API", "3").args(&self.arguments).args(arguments);
        command
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let Output { status, stdout, stderr } = self.command(arguments).output()?;
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        if !status.success() {
            bail!("etcdctl {}: {status}: {stderr}{stdout}", arguments.join(" "));
        }
        Ok(stdout.into_owned())
    }
}

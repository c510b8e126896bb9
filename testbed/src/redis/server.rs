//! One server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{Process, Program};
use crate::{binary, port};

/// How many ports are tried: another process may take one before the server does.
const TRIES: u32 = 5;

/// A redis-server of one's own on 127.0.0.1, without persistence unless its arguments say otherwise.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
    cli: Cli,
}

/// How to reach a server with redis-cli.
#[derive(Debug, Clone)]
pub struct Cli {
    file: PathBuf,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts a server and waits until it answers. `arguments` as on the command line: `["--appendonly", "yes"]`.
    ///
    /// The program is the one that `DISTLOCK_REDIS_SERVER` names, else redis-server or valkey-server in the PATH.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        Self::start_near(0, arguments)
    }

    /// The same on a port where `port + offset` is free, too.
    pub(crate) fn start_near(offset: u16, arguments: &[&str]) -> Result<Self> {
        let file = binary::find("redis-server", "DISTLOCK_REDIS_SERVER")
            .or_else(|error| binary::find("valkey-server", "DISTLOCK_REDIS_SERVER").map_err(|_| error))?;
        let mut last = None;
        for _ in 0..TRIES {
            let port = port::free_with(offset)?;
            match Self::start_on(&file, port, arguments) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no try")?)
    }

    fn start_on(file: &std::path::Path, port: u16, arguments: &[&str]) -> Result<Self> {
        let mut process = Process::start(|directory| {
            Program::new(file)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
                .arg("--dir")
                .arg(directory)
                .args(arguments)
        })?;
        process.wait_for(|process| process.log().contains("Ready to accept connections").then_some(()))?;
        let cli = Cli::new(["-h", "127.0.0.1", "-p", &port.to_string()])?;
        Ok(Self { process, port, cli })
    }

    /// Its port for plain connections.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL for the facade.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// redis-cli on it.
    pub fn cli(&self) -> &Cli {
        &self.cli
    }

    /// Runs a command on it with redis-cli.
    ///
    /// # Errors
    /// As [`Cli::run`].
    pub fn command(&self, words: &[&str]) -> Result<String> {
        self.cli.run(words)
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// When that can't be done.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same port and waits until it answers.
    ///
    /// # Errors
    /// When it runs, or doesn't start.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        let port = self.port;
        self.process.wait_for(|_| answers(port).then_some(()))
    }

    /// How many commands of each kind the server has executed, those in scripts included (`INFO commandstats`).
    ///
    /// # Errors
    /// As [`Cli::run`].
    pub fn commands(&self) -> Result<Vec<(String, u64)>> {
        let text = self.command(&["INFO", "commandstats"])?;
        let counts = text.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        });
        Ok(counts.collect())
    }
}

impl Cli {
    pub(crate) fn new<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let file = binary::find("redis-cli", "DISTLOCK_REDIS_CLI")
            .or_else(|error| binary::find("valkey-cli", "DISTLOCK_REDIS_CLI").map_err(|_| error))?;
        Ok(Self { file, arguments: arguments.into_iter().map(str::to_owned).collect() })
    }

    /// Runs a command and answers what it printed, without the line's end.
    ///
    /// # Errors
    /// When redis-cli fails, or the server answers an error.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        self.run_all(["-e"].iter().chain(words))
    }

    /// The same for what isn't a command of the server, such as `--cluster create`.
    ///
    /// # Errors
    /// When redis-cli fails.
    pub fn run_plain(&self, words: &[&str]) -> Result<String> {
        self.run_all(words)
    }

    fn run_all<'a>(&self, words: impl IntoIterator<Item = &'a &'a str>) -> Result<String> {
        let words: Vec<_> = words.into_iter().collect();
        let output = Command::new(&self.file)
            .args(&self.arguments)
            .args(&words)
            .stdin(Stdio::null())
            .output()
            .context("starting redis-cli")?;
        if !output.status.success() {
            bail!(
                "redis-cli {words:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

/// Whether a server answers PING on this port, with whatever words.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut first = [0; 5];
        stream.read_exact(&mut first)?;
        Ok(!first.starts_with(b"-LOAD"))
    };
    ask().unwrap_or(false)
}

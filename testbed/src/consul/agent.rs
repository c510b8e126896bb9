//! One agent.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::http::{Answer, request};
use super::tls::Certificates;
use crate::{Process, Program, binary, port};

const TLS: &str = r#""ca_file": "{directory}/authority.pem", "cert_file": "{directory}/certificate.pem",
    "key_file": "{directory}/key.pem", "verify_incoming_https": true"#;

/// How an agent is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// More configuration, as an object of JSON without its braces: `"acl": {...}`.
    pub more: String,
    /// The token that the test's own questions use.
    pub token: Option<String>,
    /// Whether it listens with TLS as well, and asks clients for a certificate. Its own is in `authority.pem`,
    /// `certificate.pem` and `key.pem` of its directory, which a client can use, too.
    pub tls: bool,
    /// Whether agents of other datacenters can join it: see [`Agent::wan`].
    pub wan: bool,
    /// Files put into its directory first: name and content. Configuration names them by `{directory}/NAME`.
    pub files: Vec<(String, String)>,
}

/// A running agent: in development mode (a server that keeps nothing on disk), or a member of a [`Cluster`](super::Cluster).
#[derive(Debug)]
pub struct Agent {
    process: Process,
    port: u16,
    secure_port: Option<u16>,
    wan: Option<u16>,
    token: Option<String>,
}

/// The ports of an agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) server: u16,
    pub(super) serf: u16,
    https: Option<u16>,
    wan: Option<u16>,
}

impl Ports {
    pub(super) fn free() -> Result<Self> {
        Ok(Self { http: port::free()?, server: port::free()?, serf: port::free()?, https: None, wan: None })
    }

    fn configuration(self) -> String {
        let Self { http, server, serf, https, wan } = self;
        let [https, wan] = [https, wan].map(|port| port.map_or(-1, i32::from));
        format!(
            r#""ports": {{"http": {http}, "https": {https}, "server": {server}, "serf_lan": {serf}, "serf_wan": {wan}, "dns": -1, "grpc": -1}}"#
        )
    }
}

impl Agent {
    /// One in development mode. Blocks until it can create sessions.
    ///
    /// # Errors
    /// When consul isn't installed, or isn't ready in time.
    pub fn dev() -> Result<Self> {
        Self::dev_with(&Settings::default())
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// As [`Agent::dev`].
    pub fn dev_with(settings: &Settings) -> Result<Self> {
        // Somebody may take a port between the look and the start.
        let mut last = None;
        for _ in 0..3 {
            let mut ports = Ports::free()?;
            if settings.tls {
                ports.https = Some(port::free()?);
            }
            if settings.wan {
                ports.wan = Some(port::free()?);
            }
            let started = Self::start(ports, "-dev", "", settings).and_then(|mut agent| {
                agent.until_ready()?;
                Ok(agent)
            });
            match started {
                Ok(agent) => return Ok(agent),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no try")?)
    }

    /// A server alone, that keeps its data on disk: each write costs a flush of the disk, as in production. Blocks
    /// until it can create sessions.
    ///
    /// # Errors
    /// As [`Agent::dev`].
    pub fn server() -> Result<Self> {
        let more = r#""server": true, "bootstrap_expect": 1, "performance": {"raft_multiplier": 1}"#;
        let mut agent = Self::start(Ports::free()?, "", more, &Settings::default())?;
        agent.until_ready()?;
        Ok(agent)
    }

    pub(super) fn start(ports: Ports, mode: &str, extra: &str, settings: &Settings) -> Result<Self> {
        let program = binary::find("consul", "DISTLOCK_CONSUL")?;
        let mut files = settings.files.clone();
        let mut tls = "";
        if ports.https.is_some() {
            let fresh = Certificates::new()?;
            let names = ["authority.pem", "certificate.pem", "key.pem"].map(str::to_owned);
            files.extend(names.into_iter().zip([fresh.authority, fresh.certificate, fresh.key]));
            tls = TLS;
        }
        let process = Process::start(|directory: &Path| {
            let all = [ports.configuration(), extra.to_owned(), settings.more.clone(), tls.to_owned()];
            let all: Vec<_> = all.into_iter().filter(|part| !part.is_empty()).collect();
            let text = format!("{{{}}}", all.join(", ")).replace("{directory}", &directory.display().to_string());
            // A directory that can't be written shows in the agent's own words.
            for (name, content) in files.iter().chain([&("agent.json".to_owned(), text)]) {
                drop(std::fs::write(directory.join(name), content));
            }
            Program::new(program)
                .args(["agent", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=warn"])
                .arg(format!("-config-file={}", directory.join("agent.json").display()))
                .arg(if mode.is_empty() {
                    format!("-data-dir={}", directory.join("data").display())
                } else {
                    mode.to_owned()
                })
        })?;
        Ok(Self { process, port: ports.http, secure_port: ports.https, wan: ports.wan, token: settings.token.clone() })
    }

    /// Blocks until it can create sessions: there is a leader, and it knows this node.
    pub(super) fn until_ready(&mut self) -> Result<()> {
        let (port, token) = (self.port, self.token.clone());
        self.process.wait_for(|_| {
            let created = request(port, "PUT", "/v1/session/create", token.as_deref(), r#"{"TTL":"60s"}"#).ok()?;
            let id = created.body.split('"').nth(3).filter(|_| created.status == 200)?;
            request(port, "PUT", &format!("/v1/session/destroy/{id}"), token.as_deref(), "").ok().map(drop)
        })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens with TLS, if it does.
    pub fn secure_port(&self) -> Option<u16> {
        self.secure_port
    }

    /// Where agents of other datacenters join it, if they can.
    pub fn wan(&self) -> Option<String> {
        self.wan.map(|port| format!("127.0.0.1:{port}"))
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.process.directory().join(name)
    }

    /// Its address without TLS.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.pid().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Its process, to stop, kill and start again.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it, behind a backend's back.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        request(self.port, method, path, self.token.as_deref(), body)
    }

    /// Asks it and insists on success.
    ///
    /// # Errors
    /// When it can't be asked, or its answer isn't 200.
    pub fn tell(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let answer = self.ask(method, path, body)?;
        if answer.status != 200 {
            bail!("{method} {path} was answered {}: {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    /// The command `consul` for this agent.
    ///
    /// # Errors
    /// When it isn't installed.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(binary::find("consul", "DISTLOCK_CONSUL")?);
        command.env("CONSUL_HTTP_ADDR", self.address());
        if let Some(token) = &self.token {
            command.env("CONSUL_HTTP_TOKEN", token);
        }
        Ok(command)
    }
}

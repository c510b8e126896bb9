//! A cluster of members, each a process of the test.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result};

use super::{Certificates, Etcdctl};
use crate::{Process, Program, binary, port};

/// How a cluster is set up.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    members: usize,
    tls: Option<Arc<Certificates>>,
    client_certificates: bool,
    arguments: Vec<String>,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self { members: 1, tls: None, client_certificates: false, arguments: Vec::new() }
    }
}

impl EtcdOptions {
    /// So many members.
    pub fn with_members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// Speaks TLS with these certificates.
    pub fn with_tls(mut self, certificates: Arc<Certificates>) -> Self {
        self.tls = Some(certificates);
        self
    }

    /// Asks clients for a certificate, too.
    pub fn with_client_certificates(mut self) -> Self {
        self.client_certificates = true;
        self
    }

    /// Passes arguments on to each member, such as `--quota-backend-bytes=1000000`.
    pub fn with_arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts the cluster and waits until it serves.
    ///
    /// # Errors
    /// When etcd isn't installed, or a member doesn't become ready.
    pub fn start(self) -> Result<Etcd> {
        let mut last = None;
        // Another process may take a port between our look and the server's.
        for _ in 0..3 {
            match Etcd::start(&self) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("not tried")?)
    }
}

/// A running cluster. It ends when this is dropped.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    options: EtcdOptions,
}

#[derive(Debug)]
struct Member {
    process: Process,
    client: u16,
}

impl Etcd {
    /// One member that all tests of this process share: each test has a prefix of its own. It ends with the last test
    /// that holds it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Etcd>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(EtcdOptions::default().start()?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    fn start(options: &EtcdOptions) -> Result<Self> {
        let program = binary::find("etcd", "DISTLOCK_ETCD")?;
        let ports =
            (0..options.members).map(|_| Ok((port::free()?, port::free()?))).collect::<Result<Vec<(u16, u16)>>>()?;
        let peers: Vec<_> =
            ports.iter().enumerate().map(|(n, (_, peer))| format!("m{n}=http://127.0.0.1:{peer}")).collect();
        let peers = peers.join(",");
        let mut members = Vec::new();
        for (n, (client, peer)) in ports.into_iter().enumerate() {
            let process = Process::start(|directory| {
                Program::new(&program).args(arguments(options, directory, n, client, peer, &peers))
            })?;
            members.push(Member { process, client });
        }
        let mut cluster = Self { members, options: options.clone() };
        for n in 0..cluster.members.len() {
            cluster.wait_until_ready(n)?;
        }
        Ok(cluster)
    }

    /// Its endpoints, each as `HOST:PORT`.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("127.0.0.1:{}", member.client)).collect()
    }

    /// The one endpoint of a cluster of one; of several, the first.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.members[0].client)
    }

    /// The port on which member `n` serves clients.
    pub fn port(&self, n: usize) -> u16 {
        self.members[n].client
    }

    /// Its URL as Distlock takes it.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "etcds" } else { "etcd" };
        format!("{scheme}://{}", self.endpoints().join(","))
    }

    /// A member's process, to be stopped, killed and started again.
    pub fn process(&mut self, n: usize) -> &mut Process {
        &mut self.members[n].process
    }

    /// A member's process id, while it runs.
    pub fn pid(&self, n: usize) -> Option<i32> {
        self.members[n].process.pid()
    }

    /// Kills a member, and starts it again with its data.
    ///
    /// # Errors
    /// When it doesn't become ready again.
    pub fn restart(&mut self, n: usize) -> Result<()> {
        self.members[n].process.kill()?;
        self.members[n].process.start_again()?;
        self.wait_until_ready(n)
    }

    /// The command etcdctl for this cluster.
    ///
    /// # Errors
    /// When it isn't installed.
    pub fn ctl(&self) -> Result<Etcdctl> {
        let endpoints = self.endpoints();
        self.ctl_of(&endpoints)
    }

    /// The number of the member that leads; `None` while there is none.
    pub fn leader(&self) -> Option<usize> {
        (0..self.members.len()).filter(|n| self.pid(*n).is_some()).find(|n| {
            let status = self.ctl_of(&[format!("127.0.0.1:{}", self.members[*n].client)]);
            let text = status.and_then(|ctl| ctl.run(&["endpoint", "status", "-w", "fields"])).unwrap_or_default();
            let field = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(&format!("\"{name}\"")))?;
                line.split(':').nth(1).map(|value| value.trim().to_owned())
            };
            field("Leader").is_some() && field("Leader") == field("MemberID")
        })
    }

    /// A metric of member `n`: the sum of all lines of that name that contain `label`.
    ///
    /// # Errors
    /// When the member doesn't answer.
    pub fn metric(&self, n: usize, name: &str, label: &str) -> Result<f64> {
        let text = http_get(self.members[n].client, "/metrics")?;
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let is_it = key.split('{').next() == Some(name) && key.contains(label);
            is_it.then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(values.sum())
    }

    /// How many streams member `n` serves now: watches and keep-alives.
    ///
    /// # Errors
    /// When the member doesn't answer.
    pub fn streams(&self, n: usize) -> Result<f64> {
        let label = "grpc_type=\"bidi_stream\"";
        let started = self.metric(n, "grpc_server_started_total", label)?;
        Ok(started - self.metric(n, "grpc_server_handled_total", label)?)
    }

    fn ctl_of(&self, endpoints: &[String]) -> Result<Etcdctl> {
        Etcdctl::new(endpoints, self.options.tls.clone(), self.options.client_certificates)
    }

    /// A member serves when its health says so, which takes a leader.
    fn wait_until_ready(&mut self, n: usize) -> Result<()> {
        let client = self.members[n].client;
        let (tls, certificates) = (self.options.tls.clone(), self.options.client_certificates);
        self.members[n].process.wait_for(|_| {
            std::net::TcpStream::connect(("127.0.0.1", client)).ok()?;
            let ctl = Etcdctl::new(&[format!("127.0.0.1:{client}")], tls.clone(), certificates).ok()?;
            // "Permission denied" is an answer of a member that serves.
            match ctl.run(&["get", "distlock-testbed-health"]) {
                Ok(_) => Some(()),
                Err(error) if error.to_string().contains("user name is empty") => Some(()),
                Err(_) => None,
            }
        })
    }
}

fn arguments(options: &EtcdOptions, directory: &Path, n: usize, client: u16, peer: u16, peers: &str) -> Vec<String> {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let mut arguments = vec![
        format!("--name=m{n}"),
        format!("--data-dir={}", directory.join("data").display()),
        format!("--listen-client-urls={scheme}://127.0.0.1:{client}"),
        format!("--advertise-client-urls={scheme}://127.0.0.1:{client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-cluster={peers}"),
        "--log-level=warn".to_owned(),
        "--logger=zap".to_owned(),
    ];
    if let Some(tls) = &options.tls {
        let (certificate, key) = tls.server();
        arguments.push(format!("--cert-file={}", certificate.display()));
        arguments.push(format!("--key-file={}", key.display()));
        if options.client_certificates {
            arguments.push(format!("--trusted-ca-file={}", tls.ca().display()));
            arguments.push("--client-cert-auth".to_owned());
        }
    }
    arguments.extend(options.arguments.iter().cloned());
    arguments
}

/// One plain request: the testbed needs no HTTP client for it.
fn http_get(port: u16, path: &str) -> Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

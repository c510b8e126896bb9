//! Servers in containers, by testcontainers.
//!
//! A container has a thread with a runtime of its own: tests of several runtimes can share one, and nothing that is
//! asked of it needs a runtime of the caller's. It is removed when its value is dropped, and also when the test's
//! process ends without that: values in a `static` are never dropped.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use testcontainers::core::{ContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

use crate::image::{Image, split};

/// How long a container may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server in a container of its own.
#[derive(Debug)]
pub struct Container {
    address: String,
    id: String,
    // The thread goes first, and removes the container; then the leash finds nothing left to do.
    owner: Owner,
    _leash: Option<Leash>,
}

/// How a server is started from its image, and known to be ready.
struct Recipe {
    image: Image,
    port: u16,
    ready: WaitFor,
    command: &'static [&'static str],
}

impl Container {
    /// A Redis that keeps nothing on disk.
    ///
    /// # Errors
    /// When no engine answers, the image isn't there, or the server isn't ready in time. The error says what to do.
    pub fn redis() -> Result<Self> {
        Self::start(Recipe {
            image: Image::REDIS,
            port: 6379,
            ready: WaitFor::message_on_stdout("Ready to accept connections"),
            command: &["redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no"],
        })
    }

    /// An etcd of one node.
    ///
    /// # Errors
    /// As [`Container::redis`].
    pub fn etcd() -> Result<Self> {
        Self::start(Recipe {
            image: Image::ETCD,
            port: 2379,
            ready: WaitFor::message_on_stderr("ready to serve client requests"),
            command: &[
                "/usr/local/bin/etcd",
                "--data-dir=/tmp/etcd",
                "--listen-client-urls=http://0.0.0.0:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
            ],
        })
    }

    /// A Consul agent in dev mode.
    ///
    /// # Errors
    /// As [`Container::redis`].
    pub fn consul() -> Result<Self> {
        Self::start(Recipe {
            image: Image::CONSUL,
            port: 8500,
            ready: WaitFor::message_on_stdout("Consul agent running!"),
            command: &["consul", "agent", "-dev", "-client=0.0.0.0"],
        })
    }

    /// Where it is reached: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its id at the engine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Freezes all of its processes: connections stay, nothing is answered.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn pause(&self) -> Result<()> {
        self.owner.ask(Order::Pause)
    }

    /// Lets it go on after [`Container::pause`].
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn go_on(&self) -> Result<()> {
        self.owner.ask(Order::GoOn)
    }

    fn start(recipe: Recipe) -> Result<Self> {
        let name = recipe.image.name();
        let (owner, started) = Owner::start(recipe);
        let (id, address) = started.with_context(|| advice(&name))?;
        let leash = Leash::on(&id);
        Ok(Self { address, id, owner, _leash: leash })
    }
}

fn advice(name: &str) -> String {
    format!(
        "no server from the image {name}. It takes a container engine that answers (`docker version`) and has the \
         image: `docker pull {name}`, or `cargo xtask images`, which makes it from the server installed here"
    )
}

enum Order {
    Pause,
    GoOn,
}

/// The thread in which the container lives.
#[derive(Debug)]
struct Owner {
    orders: Option<tokio::sync::mpsc::UnboundedSender<(Order, mpsc::Sender<Result<()>>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    fn start(recipe: Recipe) -> (Self, Result<(String, String)>) {
        let (orders, mut inbox) = tokio::sync::mpsc::unbounded_channel::<(Order, mpsc::Sender<Result<()>>)>();
        let (told, hear) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for a container").block_on(async move {
                let container = match run(recipe).await {
                    Ok((container, address)) => {
                        let _ = told.send(Ok((container.id().to_owned(), address)));
                        container
                    }
                    Err(error) => return drop(told.send(Err(error))),
                };
                while let Some((order, answer)) = inbox.recv().await {
                    let done = match order {
                        Order::Pause => container.pause().await,
                        Order::GoOn => container.unpause().await,
                    };
                    let _ = answer.send(done.context("asking the container engine"));
                }
                // One that is paused can be removed as well. Without an engine there is nobody to tell.
                let _ = container.rm().await;
            });
        });
        let started = hear.recv().unwrap_or_else(|_| Err(anyhow!("the container's thread panicked; see above")));
        (Self { orders: Some(orders), thread: Some(thread) }, started)
    }

    fn ask(&self, order: Order) -> Result<()> {
        let (answer, done) = mpsc::channel();
        let orders = self.orders.as_ref().context("only the drop takes it")?;
        orders.send((order, answer)).context("the container's thread has ended")?;
        done.recv().context("the container's thread has ended")?
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(recipe: Recipe) -> Result<(ContainerAsync<GenericImage>, String)> {
    let name = recipe.image.name();
    let (repository, tag) = split(&name);
    let image = GenericImage::new(repository, tag)
        .with_exposed_port(ContainerPort::Tcp(recipe.port))
        .with_wait_for(recipe.ready)
        .with_cmd(recipe.command.iter().copied())
        .with_startup_timeout(PATIENCE);
    let container = image.start().await?;
    let port = container.get_host_port_ipv4(recipe.port).await?;
    // "localhost" is two addresses, and the port is mapped at one of them.
    let host = match container.get_host().await?.to_string() {
        host if host == "localhost" => "127.0.0.1".to_owned(),
        host => host,
    };
    Ok((container, format!("{host}:{port}")))
}

/// A shell that removes the container when this process has ended, however it ended: it reads a pipe of ours.
#[derive(Debug)]
struct Leash(Child);

impl Leash {
    /// None where there is no docker command; then the drop alone removes the container.
    fn on(id: &str) -> Option<Self> {
        let script = r#"trap "" INT HUP TERM; command -v docker >/dev/null || exit; read -r _; docker rm --force --volumes "$1""#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "leash", id]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().ok().map(Self)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // Waiting closes the pipe first.
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_advice_names_both_ways_to_the_image() {
        let advice = super::advice("redis:7.0.15");
        assert!(advice.contains("docker pull redis:7.0.15") && advice.contains("cargo xtask images"), "{advice}");
    }
}

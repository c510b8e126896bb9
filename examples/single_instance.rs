//! A server that runs once on a host: a second start says who runs already, and what to do.
//!
//! ```text
//! cargo run --example single_instance                    # on a free port
//! cargo run --example single_instance -- 127.0.0.1:7878
//! ```
//!
//! The first start prints the address and echoes what is sent to it. A second start prints
//!
//! ```text
//! already running: pid 12345 (single_instance on web-1), since 2026-01-31T10:45:12Z
//!   its lock is in   /run/user/1000/distlock
//!   stop it:         kill 12345
//!   run one more:    DISTLOCK_DIR=/another/directory ...
//!   take its lock:   distlock break --if-token 17 examples/single-instance
//! ```
//!
//! and exits with 75. Kill the first however you like, with SIGKILL too: there is no file to
//! remove, the next start runs at once. Ctrl-C ends it with its lock released. When the lock is
//! taken away, it closes its connections, says why, and exits with 79.

use std::process::ExitCode;

use anyhow::Context;
use distlock::{AcquireError, LockRecord, Supervisor};
use lock_file::FileBackend;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const KEY: &str = "examples/single-instance";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let backend = match std::env::var_os("DISTLOCK_DIR") {
        Some(directory) => FileBackend::open(directory)?,
        None => FileBackend::open_default()?,
    };
    let directory = backend.directory().display().to_string();
    let locks = Supervisor::new(backend);

    // The lock first, the port second: so a second start learns who runs, not that a port is taken.
    let guard = match locks.lock(KEY).try_acquire().await {
        Ok(guard) => guard,
        Err(AcquireError::Held(seen)) => {
            eprintln!("{}", already_running(seen.record(), &directory));
            return Ok(ExitCode::from(75));
        }
        Err(other) => return Err(other.into()),
    };

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(&address).await.with_context(|| format!("can't listen on {address}"))?;
    println!("serving on {} as pid {}, token {}", listener.local_addr()?, std::process::id(), guard.fencing_token());

    // Whichever comes first; the server is dropped then, and its connections with it.
    tokio::select! {
        served = serve(listener) => served.context("the server failed")?,
        loss = guard.lost() => {
            eprintln!("stopped serving: {loss}");
            return Ok(ExitCode::from(79));
        }
        signal = tokio::signal::ctrl_c() => signal.context("can't listen for ctrl-c")?,
    }

    match locks.shutdown().await.unreleased() {
        0 => println!("stopped; the lock is free"),
        _ => eprintln!("stopped; the lock could not be released, and is free once this process has ended"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Who runs, and every way out.
fn already_running(by: &LockRecord, directory: &str) -> String {
    let pid = by.pid().map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    let (program, host) = (by.program().unwrap_or("unknown"), by.host().unwrap_or("unknown"));
    let since = by.acquired_at().map(|at| humantime::format_rfc3339_seconds(at).to_string());
    let since = since.as_deref().unwrap_or("an unknown time");
    let token = by.token().map(|token| format!("--if-token {token} ")).unwrap_or_default();
    format!(
        "already running: pid {pid} ({program} on {host}), since {since}
  its lock is in   {directory}
  stop it:         kill {pid}
  run one more:    DISTLOCK_DIR=/another/directory ...
  take its lock:   distlock break {token}{KEY}"
    )
}

/// Echoes what each client sends, until it is dropped.
async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (mut socket, _) = listener.accept().await?;
        connections.spawn(async move {
            let (mut reader, mut writer) = socket.split();
            tokio::io::copy(&mut reader, &mut writer).await
        });
        // Forgets the connections that have ended.
        while connections.try_join_next().is_some() {}
    }
}

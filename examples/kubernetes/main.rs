//! Replicas of which one works, and the others stand by. What it writes is fenced.
//!
//! ```text
//! cargo run --features etcd --example kubernetes      # DISTLOCK_URL=etcd://127.0.0.1:2379 STATE=/tmp/state
//! ```
//!
//! Start it three times. One prints `leads`; kill it, stop it (SIGSTOP) or take its lock away, and the next leads. The
//! one that was stopped finds that it no longer leads, and what it still had in hand is refused.
//!
//! | environment | |
//! |---|---|
//! | `DISTLOCK_URL` | the etcd: `etcd://h1:2379,h2:2379,h3:2379` |
//! | `POD_NAME` | who this replica is, in the lock's record; `manifest.yaml` sets it |
//! | `STATE` | the file that the one at work writes |
//! | `LEASE_SECONDS` | the TTL: how long a replica that hangs keeps its place, 15 by default |
//!
//! SIGTERM, as Kubernetes sends it, gives the lock back: the next leads at once.

mod state;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use distlock::FencingToken;
use state::State;
use tokio::signal::unix::{SignalKind, signal};

const KEY: &str = "examples/leader";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name = std::env::var("POD_NAME").unwrap_or_else(|_| format!("replica-{}", std::process::id()));
    let state = State::at(PathBuf::from(std::env::var_os("STATE").context("STATE names no file")?));
    let seconds = std::env::var("LEASE_SECONDS").map_or(Ok(15), |text| text.parse())?;
    let locks = distlock::connect_from_env().await?;
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        println!("{name} stands by");
        let request = locks.lock(KEY).ttl(Duration::from_secs(seconds)).label(&name);
        let guard = tokio::select! {
            guard = request.acquire() => guard,
            // Leaves the queue, too.
            _ = terminated.recv() => break,
        };
        let guard = match guard {
            Ok(guard) => guard,
            // etcd was out of reach for longer than the supervisor's patience.
            Err(error) => {
                eprintln!("{name}: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        println!("{name} leads with token {}", guard.fencing_token());
        let worked = tokio::select! {
            worked = guard.run(work(&state, &name, guard.fencing_token())) => worked,
            _ = terminated.recv() => {
                guard.release().await?;
                break;
            }
        };
        match worked {
            // The token told it before the lock did: somebody else has written since.
            Ok(refused) => println!("{name} is refused: {}", refused.err().map_or_else(String::new, |e| e.to_string())),
            Err(lost) => println!("{name} no longer leads: {lost}"),
        }
        // Lost already, or to be given to one that is better off.
        drop(guard);
    }
    // What couldn't be released in time ends with its TTL.
    let _ = locks.shutdown().await;
    println!("{name} ends");
    Ok(())
}

/// What must happen once at a time. Dropped at its next await point when the lock is lost; a step that was under way by
/// then is what the token is for.
async fn work(state: &State, name: &str, token: FencingToken) -> anyhow::Result<()> {
    loop {
        let count = state.write(name, token)?;
        println!("{name} wrote {count}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

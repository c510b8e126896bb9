//! A holder that was paused past its lease writes late, and the resource refuses it.
//!
//! ```text
//! cargo run --example fenced_writes
//! ```
//!
//! You see, with longer numbers, and a second between A's lines and B's:
//!
//! ```text
//! A  holds the lock with token 1, checks it (is_held: true), and is paused before it writes
//! B  is granted the lock with token 2, since A didn't renew
//! B  writes: accepted
//! A  wakes up and writes: refused a write with token 1: token 2 of another grant was seen before
//! A  asks again (is_held: false)
//! the document says "written by B"
//! ```
//!
//! No check in A could have helped: the pause came after it. What helped is that the resource
//! keeps the highest token with its data, and looks. Here a file does; "Fencing to the end" in
//! docs/guarantees.md has the same check as an SQL statement, a Redis script and a conditional put.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{fs, io, thread};

use anyhow::Context;
use distlock::{FencingGate, FencingToken, LockGuard, OwnerId, Supervisor};
use tokio::runtime::Builder;

const TTL: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let document = Document::at(directory.path().join("document"));
    let (a_holds, a_is_held) = mpsc::channel();
    let (wake_a, a_wakes) = mpsc::channel();

    // A and B have a runtime and a supervisor each, as two processes would.
    thread::scope(|scope| {
        let a = scope.spawn(|| on_a_runtime(a(&document, a_holds, a_wakes)));
        let b = scope.spawn(|| on_a_runtime(b(&document, a_is_held, wake_a)));
        a.join().expect("A doesn't panic").and(b.join().expect("B doesn't panic"))
    })?;
    println!("the document says {:?}", document.text()?);
    Ok(())
}

async fn a(document: &Document, holds: mpsc::Sender<()>, pause: mpsc::Receiver<()>) -> anyhow::Result<()> {
    let (_locks, guard) = lock().await?;
    let (token, held) = (guard.fencing_token(), guard.is_held());
    println!("A  holds the lock with token {token}, checks it (is_held: {held}), and is paused before it writes");
    holds.send(())?;
    // Blocks the whole runtime, heartbeats included, as a long garbage collection, a full swap or
    // a stopped virtual machine would. It lasts until B has written.
    if pause.recv().is_err() {
        return Ok(()); // B failed, and says why.
    }
    match document.write(&guard, "written by A") {
        Ok(()) => anyhow::bail!("A overwrote what B wrote"),
        Err(refusal) => println!("A  wakes up and writes: {refusal}"),
    }
    println!("A  asks again (is_held: {})", guard.is_held());
    Ok(())
}

async fn b(document: &Document, a_is_held: mpsc::Receiver<()>, wake_a: mpsc::Sender<()>) -> anyhow::Result<()> {
    if a_is_held.recv().is_err() {
        return Ok(()); // A failed, and says why.
    }
    let (_locks, guard) = lock().await?;
    println!("B  is granted the lock with token {}, since A didn't renew", guard.fencing_token());
    document.write(&guard, "written by B").context("B's write")?;
    println!("B  writes: accepted");
    wake_a.send(())?;
    guard.release().await?;
    Ok(())
}

async fn lock() -> anyhow::Result<(Supervisor, LockGuard)> {
    let locks = distlock::connect_from_env().await?;
    let guard = locks.lock("examples/fenced-writes").ttl(TTL).acquire().await?;
    Ok((locks, guard))
}

fn on_a_runtime<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// The resource: a text in a file, whose first line keeps the highest token and its owner.
struct Document(Mutex<PathBuf>);

impl Document {
    fn at(path: PathBuf) -> Self {
        Self(Mutex::new(path))
    }

    /// Writes, if nobody with a greater token has. The check, the token and the data are one
    /// step: the mutex keeps other writers out, and the rename shows all of it or nothing.
    fn write(&self, guard: &LockGuard, text: &str) -> anyhow::Result<()> {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, owner) = (guard.fencing_token(), guard.owner());
        gate_of(&path)?.admit(token, owner)?;
        let new = path.with_extension("new");
        fs::write(&new, format!("{token} {owner}\n{text}"))?;
        fs::rename(&new, &*path)?;
        Ok(())
    }

    fn text(&self) -> anyhow::Result<String> {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(fs::read_to_string(&*path)?.lines().skip(1).collect())
    }
}

/// The gate as it was after the last write.
fn gate_of(path: &Path) -> anyhow::Result<FencingGate> {
    let content = match fs::read_to_string(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FencingGate::new()),
        Err(error) => return Err(error).context("can't read the document"),
    };
    let first = content.lines().next().unwrap_or_default();
    let (token, owner) = first.split_once(' ').context("the document's first line has no token and owner")?;
    Ok(FencingGate::resume(FencingToken::new(token.parse()?), owner.parse::<OwnerId>()?))
}

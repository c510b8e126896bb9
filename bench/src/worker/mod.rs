//! The processes that measurements start: one contestant, one thing to do, one line of JSON at the end.
//!
//! A process of its own for each turn: nothing of one contestant is left when the next has its turn, and one that is
//! written in another language is started in the same way (bench/peers/peer.py).

mod alone;
mod child;
mod contend;
mod hold;
mod many;
mod signal;

pub(crate) use child::Worker;
pub(crate) use many::Held as HeldMany;

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::contest::{Client, Contestant, Place, Way};
use crate::stores::Backend;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    backend: Backend,
    #[arg(long)]
    contestant: String,
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    work: Work,
}

#[derive(clap::Subcommand)]
enum Work {
    /// Acquires and releases, by itself
    Alone(alone::Options),
    /// Contends for one key, or each task has its own
    Contend(contend::Options),
    /// Holds many locks
    Many(many::Options),
    /// Holds one lock until it is killed
    Hold,
    /// Waits for that lock
    Wait,
    /// Waits for many locks at once
    WaitMany(many::Options),
    /// Sends signals from one connection to another
    Signal(signal::Options),
}

pub(crate) fn run(options: Options) -> Result<()> {
    let contestants = options.backend.contestants();
    let contestant = contestants.iter().find(|one| one.name == options.contestant).context("no such contestant")?;
    let place = options.place;
    let tag = place.tag.clone();
    match options.work {
        Work::Alone(work) => one_thread()?.block_on(alone::run(connect(contestant, place)?, &tag, &work)),
        Work::Contend(work) => {
            let Way::Client(connect) = contestant.way else { bail!("it is no client of this program's") };
            // As most programs run: a thread a core.
            let runtime = if work.one_thread { one_thread()? } else { many_threads()? };
            runtime.block_on(contend::run(|| connect(place.clone()), &tag, work))
        }
        Work::Many(work) => one_thread()?.block_on(many::run(connect(contestant, place)?, &tag, &work)),
        Work::Hold => one_thread()?.block_on(hold::hold(connect(contestant, place)?, &tag)),
        Work::Wait => one_thread()?.block_on(hold::wait(connect(contestant, place)?, &tag)),
        Work::WaitMany(work) => one_thread()?.block_on(many::wait(connect(contestant, place)?, &tag, &work)),
        Work::Signal(work) => {
            let Way::Signal(connect) = contestant.way else { bail!("it sends no signals") };
            // As the contenders over processes, which are those that are compared with it.
            one_thread()?.block_on(signal::run(connect(place), &work))
        }
    }
}

type Connecting = std::pin::Pin<Box<dyn Future<Output = Result<Arc<dyn Client>>> + Send>>;

fn connect(contestant: &Contestant, place: Place) -> Result<Connecting> {
    match contestant.way {
        Way::Client(connect) => Ok(connect(place)),
        Way::Signal(_) | Way::Python(_) => bail!("it is no client of this program's"),
    }
}

/// So many tasks wait by blocking a thread, where a peer knows no other way. With tokio's 512 the others would stand in
/// line for a thread, and not for their lock.
const BLOCKED: usize = 2_048;

fn one_thread() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().max_blocking_threads(BLOCKED).enable_all().build()?)
}

fn many_threads() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().max_blocking_threads(BLOCKED).enable_all().build()?)
}

/// Says that this process is ready, and waits until all are to begin.
fn ready() -> Result<()> {
    say("ready");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    if line != "go\n" {
        // Whoever started this is gone.
        bail!("not told to begin");
    }
    Ok(())
}

fn answer(answer: &impl Serialize) -> Result<()> {
    say(&serde_json::to_string(answer)?);
    Ok(())
}

fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // The driver may be gone: then nobody is left to tell.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

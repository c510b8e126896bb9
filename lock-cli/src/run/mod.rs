//! `run`: a command under a lock.
//!
//! Read it in this order: here the whole way, `acquire` the wait for the lock, `start` the
//! command's start, `watch` the time that it runs, `group` the processes it is made of.

mod acquire;
mod group;
mod guardian;
mod signals;
mod start;
mod terminal;
mod watch;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use distlock::{HolderInfo, Label, LockGuard, LockKey, ReleaseError, Supervisor, Ttl};
use rustix::process::Signal;
use tokio::time::timeout;

use self::acquire::Turn;
use self::signals::Signals;
use self::watch::{End, watch};
use crate::args::RunArgs;
use crate::exit::{self, Failure};
use crate::output::say;
use crate::redact;
use crate::settings::{self, Wait};

/// How long letting go of the lock may take at the end. What is not released by then frees itself
/// after its TTL.
const LET_GO: Duration = Duration::from_secs(5);

/// The same for a lock that is lost: there is hardly anything left to withdraw.
const WITHDRAW: Duration = Duration::from_secs(1);

/// What is asked for, checked before the store is.
pub(crate) struct Plan {
    key: LockKey,
    holder: HolderInfo,
    ttl: Ttl,
    wait: Wait,
    max_hold: Option<Duration>,
    kill_after: Duration,
    url: String,
    /// `--url` as it was given.
    url_option: Option<String>,
    command: Vec<OsString>,
}

/// The exit code, if this process was started by `distlock run` to play one of two small roles.
pub(crate) fn role() -> Option<u8> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next()?;
    match name.to_str()? {
        start::ROLE => Some(start::main(arguments)),
        guardian::ROLE => Some(guardian::main()),
        _ => None,
    }
}

pub(crate) async fn run(args: RunArgs) -> Result<u8, Failure> {
    let plan = Plan::new(args)?;
    // Before anything is asked of the store: a signal must never leave something there.
    let mut signals = Signals::install()?;
    let store = tokio::select! {
        biased;
        signal = signals.next() => return Ok(exit::signalled(signal.as_raw())),
        store = distlock::open(&plan.url) => store?,
    };
    // Renewals have a thread of their own: one that hangs in the store's file system must not keep
    // this thread from stopping the command in time.
    let locks = Supervisor::builder(store.clone()).dedicated_thread().shutdown_within(LET_GO).build();
    let guard = match acquire::acquire(&plan, &locks, &store, &mut signals).await {
        Ok(Turn::Ours(guard)) => guard,
        Ok(Turn::Signalled(signal)) => return Ok(give_up(&locks, signal).await),
        Err(failure) => {
            // What an ambiguous failure may have left is released in the background: let it.
            let _ = locks.shutdown().await;
            return Err(failure);
        }
    };
    // One that came while the lock was granted: nothing is started for somebody who wants it to end.
    if let Some(signal) = signals.pending().await {
        return Ok(give_up(&locks, signal).await);
    }
    let group = match start::start(&plan.command, &guard) {
        Ok(group) => group,
        Err(failure) => {
            let _ = locks.shutdown().await;
            return Err(failure);
        }
    };
    let end = watch(group, &guard, &mut signals, &plan).await;
    Ok(finish(guard, end).await)
}

/// Leaves nothing in the store, and tells of the signal.
async fn give_up(locks: &Supervisor, signal: Signal) -> u8 {
    let _ = locks.shutdown().await;
    exit::signalled(signal.as_raw())
}

/// Releases the lock, and finds the exit code.
async fn finish(guard: LockGuard, end: End) -> u8 {
    let key = guard.key().clone();
    let frees_itself = format!("it frees itself within {:?}", guard.ttl().get());
    let limit = if end == End::Lost { WITHDRAW } else { LET_GO };
    // Signals don't cut it short: one meant for the command often reaches this process as well, and
    // heeding it here would leave the lock held by nobody. The time is limited anyway.
    let released = timeout(limit, guard.release()).await.ok();
    let code = match end {
        End::Lost => return exit::LOST,
        End::Exited(code) if matches!(released, Some(Err(ReleaseError::Lost(_)))) => {
            return too_late(&key, code);
        }
        End::Exited(code) => code,
        End::MaxHold => exit::LOST,
    };
    match released {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            let error = redact::about(Some(&key), &error);
            say(&format!("the lock was not released, {frees_itself}: {error}"));
        }
        None => say(&format!("the lock \"{key}\" was not released in time, {frees_itself}")),
    }
    code
}

/// The command came to its end by itself, but not under the lock: that is no success.
fn too_late(key: &LockKey, code: u8) -> u8 {
    say(&format!(
        "the lock \"{key}\" was lost before the command ended (with exit code {code}): \
         someone else may have run meanwhile"
    ));
    exit::LOST
}

impl Plan {
    fn new(args: RunArgs) -> Result<Self, Failure> {
        let key = settings::key(&args.key)?;
        if key.as_str().contains('\0') {
            return Err(Failure::usage("a key with a NUL byte can't be told to the command in DISTLOCK_KEY"));
        }
        let mut holder = HolderInfo::this_process();
        if let Some(program) = args.command.first() {
            let name = Path::new(program).file_name().unwrap_or(program);
            holder = holder.with_program(name.to_string_lossy());
        }
        if let Some(label) = args.label {
            holder = holder.with_label(Label::new(label)?);
        }
        Ok(Self {
            key,
            holder,
            ttl: settings::ttl(args.ttl)?,
            wait: settings::wait(args.wait, args.no_wait)?,
            max_hold: args.max_hold,
            kill_after: args.kill_after,
            url: settings::url(&args.store)?,
            url_option: args.store.url,
            command: args.command,
        })
    }
}

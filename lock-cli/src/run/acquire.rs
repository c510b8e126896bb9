//! The wait for the lock.

use std::io::IsTerminal;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use distlock::{AcquireError, LockGuard, Store, Supervisor};
use rustix::process::Signal;

use super::Plan;
use super::signals::Signals;
use crate::exit::{self, Failure};
use crate::holder::{self, Here, held_by};
use crate::output::say;
use crate::settings::Wait;

/// Who looks on is told whom they wait for, once it takes longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of the wait.
pub(super) enum Turn {
    Ours(LockGuard),
    Signalled(Signal),
}

/// Acquires the lock, unless a signal comes first. After a signal the caller shuts `locks` down,
/// so that nothing stays in the store.
pub(super) async fn acquire(
    plan: &Plan,
    locks: &Supervisor,
    store: &Arc<dyn Store>,
    signals: &mut Signals,
) -> Result<Turn, Failure> {
    let request = locks.lock(&plan.key).ttl(plan.ttl.get()).holder(plan.holder.clone());
    let mut acquire = pin!(async {
        match plan.wait {
            Wait::Not => request.try_acquire().await,
            Wait::AtMost(limit) => request.wait_at_most(limit).acquire().await,
            Wait::ForEver => request.acquire().await,
        }
    });
    let mut notice = pin!(notice(plan, store));
    let mut is_told = false;
    loop {
        tokio::select! {
            biased;
            signal = signals.next() => return Ok(Turn::Signalled(signal)),
            acquired = &mut acquire => {
                return match acquired {
                    Ok(guard) => Ok(Turn::Ours(guard)),
                    Err(error) => Err(not_acquired(error, plan, store).await),
                };
            }
            () = &mut notice, if !is_told => is_told = true,
        }
    }
}

/// Tells a person at a terminal whom they wait for. Never a script: its stderr may be a mail.
async fn notice(plan: &Plan, store: &Arc<dyn Store>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    tokio::time::sleep(PATIENCE).await;
    if let Ok(Some(record)) = store.inspect(&plan.key).await {
        say(&format!("waiting: {}", held_by(&record, SystemTime::now())));
    }
}

/// Who has it and what to do about it, or what went wrong.
async fn not_acquired(error: AcquireError, plan: &Plan, store: &Arc<dyn Store>) -> Failure {
    let mut record = error.contention().map(|seen| seen.record().clone());
    if record.is_none() && matches!(error, AcquireError::WaitTimedOut { .. }) {
        // This wait never came to its turn, but the person still wants to know who is in the way.
        record = store.inspect(&plan.key).await.ok().flatten();
    }
    match record {
        Some(record) => {
            let here = Here::new(plan.url_option.as_deref());
            Failure::new(exit::HELD, holder::taken(&record, &here))
        }
        None => error.into(),
    }
}

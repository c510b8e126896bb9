//! The time that the command runs: until it ends, or the lock does.

use std::pin::pin;
use std::time::Duration;

use distlock::{LockGuard, LockState};
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use super::group::{Change, Group};
use super::signals::Signals;
use super::{Plan, terminal};
use crate::output::say;
use crate::redact;

/// How often a group that has to end is looked at: nobody tells when the last of it has.
const LOOK: Duration = Duration::from_millis(10);

/// How long a group may take to end after KILL. Longer does only what hangs in the kernel.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// How it came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this code.
    Exited(u8),
    /// The lock was lost, and it was stopped.
    Lost,
    /// It ran for too long, and was stopped under the lock.
    MaxHold,
}

/// Passes signals on until the command ends, or has to.
pub(super) async fn watch(mut group: Group, guard: &LockGuard, signals: &mut Signals, plan: &Plan) -> End {
    let mut lock_lost = pin!(guard.lost());
    // A limit of our own, not the guard's: the lock is kept until the command has stopped. The
    // guard's would let go of it first.
    let mut held_enough = pin!(sleep(plan.max_hold.unwrap_or(Duration::MAX)));
    let end = loop {
        tokio::select! {
            biased;
            // First: a command that has ended can't be stopped any more.
            change = group.change() => match change {
                Change::Exited(code) => break End::Exited(code),
                Change::Stopped(by) => terminal::stopped(&group, by, || guard.state() != LockState::Lost),
            },
            loss = &mut lock_lost => {
                say(&format!("{}; stopping the command", redact::about(Some(loss.key()), &loss)));
                break stop(&mut group, signals, plan, End::Lost).await;
            }
            () = &mut held_enough, if plan.max_hold.is_some() => {
                let limit = plan.max_hold.unwrap_or_default();
                let key = guard.key();
                say(&format!("the command has held the lock \"{key}\" for --max-hold {limit:?}; stopping it"));
                break stop(&mut group, signals, plan, End::MaxHold).await;
            }
            signal = signals.next() => group.send(signal),
        }
    };
    terminal::take_back_from(group.id());
    group.leave();
    end
}

/// Stops the whole group: TERM, and KILL for those who don't care.
async fn stop(group: &mut Group, signals: &mut Signals, plan: &Plan, end: End) -> End {
    group.send(Signal::TERM);
    // One that was stopped by hand hears of it as well.
    group.send(Signal::CONT);
    if ends_within(plan.kill_after, group, signals).await {
        return end;
    }
    say(&format!("the command did not stop within {:?}; killing it", plan.kill_after));
    group.send(Signal::KILL);
    if !ends_within(AFTER_KILL, group, signals).await {
        say(&format!(
            "processes of the group {} are still there after KILL: look with `ps -eo pid,pgid,stat,args`",
            group.id()
        ));
    }
    end
}

/// Whether all of the group ends in time. Its leader's end is not enough.
async fn ends_within(limit: Duration, group: &mut Group, signals: &mut Signals) -> bool {
    let limit = Instant::now().checked_add(limit);
    loop {
        if group.is_gone() {
            return true;
        }
        if limit.is_some_and(|limit| Instant::now() >= limit) {
            return false;
        }
        tokio::select! {
            () = sleep_until(Instant::now() + LOOK) => {}
            signal = signals.next() => group.send(signal),
        }
    }
}

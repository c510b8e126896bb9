//! What a client does while it holds a lock: the good, the careless and the hung.

use std::time::Duration;

use anyhow::Result;
use distlock::{Claim, LockGuard, ReleaseError};

use super::client::{Task, nanos};
use super::event::{Nanos, What};
use super::journal::now;
use super::resource::Resource;

/// How a hold ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Release,
    Drop,
    /// Holds on until the lock is lost, or for long enough.
    UntilLost,
    /// Ends the process.
    Exit,
    /// Blocks the executor, heartbeat and all, and then goes on as if nothing had been.
    Block,
}

/// Holds a lock and lets it go, in one of many ways.
pub(super) async fn hold(task: &mut Task<'_>, op: u64, guard: LockGuard) -> Result<()> {
    let client = task.client;
    let resource = Resource::of(&client.directory, guard.key().as_str());
    let end = match task.rng.u8(..100) {
        0..75 => End::Release,
        75..90 => End::Drop,
        90..94 => End::UntilLost,
        94..96 => End::Exit,
        _ => End::Block,
    };
    for _ in 0..task.rng.u8(1..4) {
        increment(task, op, &guard, &resource).await?;
        task.pause(3_000).await;
    }
    if task.rng.u8(..8) == 0 {
        look_at_it(task, op, &guard).await?;
    }
    match end {
        End::Exit | End::Block | End::UntilLost if client.is_quiet() => {}
        End::UntilLost => {
            let enough = now() + nanos(client.ttl) * 3;
            while is_held(task, op, &guard) && now() < enough {
                tokio::select! {
                    _ = guard.lost() => {}
                    () = tokio::time::sleep(client.ttl / 10) => {}
                }
                increment(task, op, &guard, &resource).await?;
            }
        }
        End::Exit => {
            client.tell(0, now(), What::Exits);
            std::process::exit(0);
        }
        End::Block => {
            let until = now() + nanos(client.ttl.mul_f64(0.5 + 1.5 * task.rng.f64()));
            std::thread::sleep(Duration::from_nanos(until.min(client.quiet_from).saturating_sub(now())));
            increment(task, op, &guard, &resource).await?;
        }
        End::Release | End::Drop => {}
    }
    let claim = Claim::new(guard.key().clone(), guard.owner());
    client.tell(op, now(), What::LetGo { drops: end == End::Drop });
    if end == End::Drop {
        drop(guard);
        return Ok(());
    }
    let since = now();
    match guard.release().await {
        Ok(()) => client.tell(op, now(), What::Released { ours: true }),
        Err(ReleaseError::Lost(_)) => client.tell(op, now(), What::Released { ours: false }),
        Err(error) => client.helpless(since, &error),
    }
    task.released = Some(claim);
    Ok(())
}

/// Asks the guard and writes down what it says. The claim "held" is about a time before the
/// question, the claim "not held" about one after the answer: so neither says too much.
fn is_held(task: &Task<'_>, op: u64, guard: &LockGuard) -> bool {
    let before = now();
    let held = guard.is_held();
    if held {
        let deadline = before + nanos(guard.remaining());
        task.client.tell(op, before, What::Held { deadline });
    } else {
        let reason = reason(guard);
        task.client.tell(op, now(), What::NotHeld { reason });
    }
    held
}

/// The reason of a loss that has been.
fn reason(guard: &LockGuard) -> String {
    use std::task::{Context, Poll, Waker};
    match std::pin::pin!(guard.lost()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(loss) => loss.reason().to_string(),
        Poll::Pending => "is_held() says no, and lost() waits".to_owned(),
    }
}

/// Reads the counter, works, writes the counter: with a check before, as everybody should, or at
/// times without, as somebody will. The resource has the last word.
async fn increment(task: &mut Task<'_>, op: u64, guard: &LockGuard, resource: &Resource) -> Result<()> {
    if !is_held(task, op, guard) && task.rng.bool() {
        return Ok(());
    }
    let (token, owner) = (guard.fencing_token(), guard.owner());
    let written = match resource.read(token, owner).await? {
        Ok(value) => {
            task.pause(2_000).await;
            resource.write(token, owner, value + 1).await?
        }
        refused => refused,
    };
    let what = match written {
        Ok(value) => What::Wrote { value },
        Err(stale) => What::Refused { highest: stale.highest().get() },
    };
    let refused = matches!(what, What::Refused { .. });
    task.client.tell(op, now(), what);
    if refused {
        // If it is held even now, it was when it was refused.
        is_held(task, op, guard);
    }
    Ok(())
}

/// Lets a stranger release the lock, and looks who has it then.
async fn look_at_it(task: &mut Task<'_>, op: u64, guard: &LockGuard) -> Result<()> {
    if !is_held(task, op, guard) {
        return Ok(());
    }
    task.trespass(guard.key()).await;
    let since = now();
    let record = match task.client.other.inspect(guard.key()).await {
        Ok(record) => record,
        Err(error) => {
            task.client.helpless(since, &error);
            return Ok(());
        }
    };
    let at: Nanos = now();
    if is_held(task, op, guard) {
        let owner = record.and_then(|record| record.owner()).map(|owner| owner.to_string());
        task.client.tell(op, at, What::Inspected { owner });
    }
    Ok(())
}

//! Waiting for one's turn in a lock's queue.

use std::time::Duration;

use lock_core::{AcquireRequest, BackendError, Clock, Contention, FencingToken, Operation, Ttl};
use redis::{Value, cmd, pipe};
use tokio::time::sleep;

use crate::error::Failure;
use crate::names::LockNames;
use crate::place::{KEPT_AT_MOST, Outlook, Place};
use crate::shared::{Shared, failing, odd};

/// How long those at the front of the queue wait for a message before they look for themselves. Shorter than a lock is
/// kept for them, so that whose message was lost still comes in its turn.
const LOOK_MS: u64 = 300;
const LOOK: Duration = Duration::from_millis(LOOK_MS);
/// How many are at the front; those behind look more seldom, the later their turn is, four times at most.
const FRONT: u32 = 32;
const SELDOM: u32 = 4;
/// A waiter whose message was lost comes this late at most: its own look, and what was kept in vain for another one.
/// (Unless 32 others were served since it looked last: then it has lost its turn, and stands in line again.)
pub(crate) const WITHIN: Duration = Duration::from_millis(LOOK_MS * SELDOM as u64).saturating_add(KEPT_AT_MOST);
/// How long a queue lives in which nobody looks any more.
const QUEUE_MS: u64 = 60_000;

impl Shared {
    /// Waits until `try_acquire` of this request is worth while.
    pub(crate) async fn wait(&self, request: &AcquireRequest, ttl: Ttl, seen: &Contention) -> Result<(), BackendError> {
        let fail = failing(Operation::Wait, request.key());
        let names = self.names.of(request.key());
        // Listen first, then stand in line, then look: so nothing happens unnoticed.
        let channel = self.topology.listen(&self.names, &names).await.map_err(&fail)?;
        let owner = request.owner();
        let stands = self.inbox.place_of(owner);
        let is_new = stands.is_none();
        let place = stands.unwrap_or_else(|| self.new_place(request, ttl, Some(channel)));
        if is_new {
            self.inbox.lines_up(owner, place.clone());
        }
        let mut outlook = match place.take_outlook() {
            // It stands in line since the last try.
            Some(outlook) => Ok(Some(outlook)),
            None if is_new => self.join(&names, &place, seen.record().token()).await,
            None => self.look(&names, &owner.to_string(), &place).await,
        };
        loop {
            let Some(Outlook { left, before }) = outlook.map_err(&fail)? else { return Ok(()) };
            tokio::select! {
                // Its turn, or the connection was lost: `try_acquire` finds out.
                () = place.woken() => return Ok(()),
                () = sleep(pause(left, before)) => {}
            }
            self.topology.listen(&self.names, &names).await.map_err(&fail)?;
            outlook = self.look(&names, &owner.to_string(), &place).await;
        }
    }

    /// Stands in line.
    async fn join(
        &self,
        names: &LockNames,
        place: &Place,
        seen: Option<FencingToken>,
    ) -> Result<Option<Outlook>, Failure> {
        let sent = self.clock.now();
        let mut commands = pipe();
        commands.add_command(cmd("RPUSH").arg(&names.queue).arg(place.entry(self.names.channel())).take());
        commands.add_command(cmd("PTTL").arg(&names.lock).take());
        match self.topology.send_all(names, &commands).await?.as_slice() {
            // The lock was freed before anybody could see the place.
            [Value::Int(_), Value::Int(-2)] => Ok(None),
            [Value::Int(waiting), Value::Int(left)] => {
                place.stands(sent, seen, outlook(*left, waiting - 1));
                Ok(place.take_outlook())
            }
            other => Err(odd(&Value::Array(other.to_vec()))),
        }
    }

    /// Looks whether the turn has come unnoticed, and takes a new place should the old one be gone.
    async fn look(&self, names: &LockNames, owner: &str, place: &Place) -> Result<Option<Outlook>, Failure> {
        let (sent, lives, entry) = (self.clock.now(), QUEUE_MS.to_string(), place.entry(self.names.channel()));
        let arguments = [owner.as_bytes(), entry.as_bytes(), lives.as_bytes()];
        let answer = self.topology.run(&self.scripts.look, names, &arguments).await?;
        match &answer {
            Value::Array(parts) => match parts.as_slice() {
                [] => Ok(None),
                [Value::Int(left), Value::Int(before), Value::BulkString(token)] => {
                    let token = std::str::from_utf8(token).ok().and_then(|token| token.parse().ok());
                    place.looked(sent, token);
                    Ok(Some(outlook(*left, *before)))
                }
                _ => Err(odd(&answer)),
            },
            _ => Err(odd(&answer)),
        }
    }
}

/// What was answered; the remaining time is negative where it isn't known.
pub(crate) fn outlook(left_ms: i64, before: i64) -> Outlook {
    Outlook {
        left: u64::try_from(left_ms).ok().map(Duration::from_millis),
        before: u32::try_from(before).unwrap_or_default(),
    }
}

/// How long to sleep: to the end of the lease, one after the other, so that the first finds the lock free and the
/// others find it taken; and not longer than messages are relied upon.
fn pause(left: Option<Duration>, before: u32) -> Duration {
    let look = LOOK * (1 + before / FRONT).min(SELDOM);
    let turn = Duration::from_millis(2) + Duration::from_millis(20) * before;
    left.map_or(look, |left| look.min(left.saturating_add(turn)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::KEPT_AT_LEAST;

    #[test]
    fn the_first_looks_at_the_expiry_and_the_others_after_it() {
        let left = Some(Duration::from_millis(100));
        assert_eq!(pause(left, 0), Duration::from_millis(102));
        assert_eq!(pause(left, 1), Duration::from_millis(122));
        assert_eq!(pause(Some(Duration::MAX), 0), LOOK);
        assert_eq!(pause(None, 31), LOOK);
        assert_eq!(pause(None, u32::MAX), LOOK * SELDOM);
        assert!(pause(None, u32::MAX) < WITHIN);
        assert!(LOOK < KEPT_AT_LEAST, "who looks must find what is kept for it");
    }
}

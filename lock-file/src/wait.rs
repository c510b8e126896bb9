//! Waiting until a lock may be taken.

use std::fs::File;
use std::io;
use std::time::Duration;

use lock_core::{AcquireRequest, BackendError, Operation};
use tokio::time;

use crate::error::from_io;
use crate::look::{self, Verdict};
use crate::os;
use crate::owners::Mine;
use crate::queue::{self, Ahead, GRACE};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::watch::Watch;

/// How long a waiter sleeps at most where the watch tells of everything, a holder's death included.
pub(crate) const TOLD: Duration = Duration::from_millis(500);
/// The same where it doesn't: no watch could be had, or a death is not told on this system.
pub(crate) const UNTOLD: Duration = Duration::from_millis(25);
/// After an event: Linux tells that a file was closed just before it lets go of its kernel lock.
const AFTER_EVENT: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(3), Duration::from_millis(11)];
/// The timer's own unit.
const TICK: Duration = Duration::from_millis(1);

/// The generation that a waiter waits for, kept open between its looks: a wake-up costs one read,
/// one probe and two looks at names, however many wait.
#[derive(Debug)]
struct Kept {
    number: u64,
    file: File,
}

/// What a look came to.
enum Glance {
    /// `try_acquire` is worth while.
    Now,
    /// Not before this, unless something happens.
    Later(Duration),
}

impl Shared {
    /// Waits until `try_acquire` of this request is worth while.
    pub(crate) async fn wait(&self, request: &AcquireRequest) -> Result<(), BackendError> {
        let slot = Slot::of(&self.root, request.key());
        let fail =
            |error: io::Error| from_io(Operation::Wait, "looking at", slot.directory(), error).with_key(request.key());
        if !os::exists(slot.directory()).map_err(fail)? {
            return Ok(());
        }
        // In this order, so that nothing happens between the look and the watch.
        let mut watch = self.watches.watch(slot.directory());
        let holds = self.owners.with(&request.claim(), |mine| {
            self.enqueue(&slot, request, mine).map(|()| matches!(mine, Mine::Held(_)))
        })?;
        if holds {
            return Ok(());
        }
        let (mut kept, mut ahead) = (None, None);
        let mut quick = AFTER_EVENT.iter();
        loop {
            watch.seen();
            let pause = match self.glance(&slot, request, &mut kept, &mut ahead).map_err(fail)? {
                Glance::Now => return Ok(()),
                Glance::Later(pause) => pause,
            };
            let pause = pause.min(quick.next().copied().unwrap_or(longest_sleep(&watch))).max(TICK);
            tokio::select! {
                () = watch.changed() => quick = AFTER_EVENT.iter(),
                () = time::sleep(pause) => {}
            }
        }
    }

    fn glance(
        &self,
        slot: &Slot,
        request: &AcquireRequest,
        kept: &mut Option<Kept>,
        ahead: &mut Option<Ahead>,
    ) -> io::Result<Glance> {
        // It had a successor, was taken forward, or its directory is gone: find the one that counts.
        if let Some(old) = kept
            && (os::exists(&slot.generation(old.number + 1))? || !os::is_at(&old.file, &slot.generation(old.number))?)
        {
            *kept = None;
        }
        let current = match kept {
            Some(current) => current,
            None => match look::current(slot)? {
                None => return Ok(Glance::Now),
                Some(found) => kept.insert(Kept { number: found.number, file: found.file }),
            },
        };
        let found = look::assess(&self.host, &slot.generation(current.number), &current.file)?;
        match found.verdict {
            Verdict::Takeover(_) => Ok(Glance::Now),
            Verdict::Held(left) => Ok(Glance::Later(left.unwrap_or(Duration::MAX))),
            Verdict::Released(ago) => {
                let left = ago.and_then(|ago| GRACE.checked_sub(ago)).unwrap_or_default();
                if left.is_zero() || !self.is_behind(slot, request, ahead)? {
                    return Ok(Glance::Now);
                }
                Ok(Glance::Later(left))
            }
        }
    }

    /// Whether a live waiter is before this one. The nearest is remembered, so that of many who
    /// wait only the one whose turn it is lists the queue.
    fn is_behind(&self, slot: &Slot, request: &AcquireRequest, ahead: &mut Option<Ahead>) -> io::Result<bool> {
        if let Some(before) = ahead
            && before.is_live()?
        {
            return Ok(true);
        }
        *ahead = self.owners.with(&request.claim(), |mine| match mine {
            Mine::Waiting(ticket) => queue::ahead(slot, Some(ticket), true),
            _ => Ok(None),
        })?;
        Ok(ahead.is_some())
    }
}

/// The bounded fallback: a lost event costs no more than this.
fn longest_sleep(watch: &Watch) -> Duration {
    if os::WATCH_TELLS_OF_DEATH && watch.works() { TOLD } else { UNTOLD }
}

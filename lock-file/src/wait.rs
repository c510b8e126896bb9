//! Waiting until a lock may be taken.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{AcquireRequest, BackendError, Operation};
use tokio::time;

use crate::ear::{Ear, FRONT, KNOWN, News};
use crate::error::from_io;
use crate::look::{self, Verdict};
use crate::os;
use crate::owners::Mine;
use crate::queue::{self, Ahead, GRACE};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::watch::Watch;

/// How long a waiter sleeps at most where the watch tells of everything, a holder's death included.
/// (Unit tests tell an event from this fallback, on however slow a machine.)
pub(crate) const TOLD: Duration = Duration::from_secs(if cfg!(test) { 240 } else { 2 });
/// The same where it doesn't: no watch could be had, or a death is not told on this system.
pub(crate) const UNTOLD: Duration = Duration::from_millis(25);
/// How long the first behind the front sleeps at most, and each after it twice as long: those before
/// it may all be stopped, and then nobody leaves whom it could hear. Unless it is far behind, only those
/// count whom it knows to live, or the places of the dead would make it sleep longer.
pub(crate) const BEHIND: Duration = Duration::from_millis(if cfg!(test) { 30_000 } else { 250 });
const _: () = assert!(BEHIND.as_millis() << (KNOWN - FRONT) <= TOLD.as_millis());
/// After a record's file was closed: Linux tells so just before it lets go of its kernel lock.
const AFTER_CLOSE: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(3), Duration::from_millis(11)];
/// The timer's own unit.
const TICK: Duration = Duration::from_millis(1);

/// The generation that a waiter waits for, kept open between its looks: a wake-up costs one read,
/// one probe and two looks at names, however many wait.
#[derive(Debug)]
struct Kept {
    number: u64,
    file: File,
}

/// The looks that are due soon.
#[derive(Debug, Default)]
struct Probes(std::slice::Iter<'static, Duration>);

impl Probes {
    /// Other news leave those be that a closing made due: the kernel lock may not be free yet.
    fn heard(&mut self, news: News) {
        if news == News::Closed {
            self.0 = AFTER_CLOSE.iter();
        }
    }
}

/// What a look came to.
enum Glance {
    /// `try_acquire` is worth while.
    Now,
    /// Not before this: an earlier ticket alone may take it now.
    AfterGrace(Duration),
    /// Not before this, unless something happens.
    Held(Duration),
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
        let ear = Arc::new(Ear::default());
        let watch = self.watches.watch(slot.directory(), &ear);
        let mut queue_watch = None;
        let holds = self.owners.with(&request.claim(), |mine| {
            self.enqueue(&slot, request, mine).map(|()| matches!(mine, Mine::Held(_)))
        })?;
        if holds {
            return Ok(());
        }
        let (mut kept, mut ahead) = (None, None);
        let mut quick = Probes::default();
        let mut placed = false;
        // Once, for as long as it may rely on those before it to see to the lock.
        let mut heard_nothing = false;
        loop {
            ear.seen();
            let (left, in_grace) = match self.glance(&slot, request, &mut kept, &mut ahead).map_err(fail)? {
                Glance::Now => return Ok(()),
                Glance::AfterGrace(left) => (left, true),
                Glance::Held(left) => (left, false),
            };
            // Once: a look at the queue is an event to all who watch it. Should news be lost, the look at
            // the lock itself finds it free after the grace.
            if !placed {
                placed = true;
                self.take_a_place(&slot, request, &ear, &mut queue_watch).map_err(fail)?;
            }
            move_up(&slot, &ear, queue_watch.as_ref()).map_err(fail)?;
            let longest = longest_sleep(&watch, &ear);
            // Those behind leave it to the front to see that a deadline has passed; the grace, too, until they have
            // heard nothing of the front.
            let sees_to_it = ear.ahead() < FRONT || (in_grace && heard_nothing);
            let pause = if sees_to_it { left.min(longest) } else { longest };
            let pause = pause.min(quick.0.next().copied().unwrap_or(longest)).max(TICK);
            tokio::select! {
                news = ear.news() => quick.heard(news),
                () = time::sleep(pause) => {
                    if pause >= longest {
                        heard_nothing = true;
                        ear.look_further();
                    }
                    if !os::WATCH_TELLS_OF_DEATH {
                        ear.doubt();
                    }
                }
            }
        }
    }

    /// Finds out who waits before this one, and if they are many, listens to them instead of the lock.
    fn take_a_place(
        &self,
        slot: &Slot,
        request: &AcquireRequest,
        ear: &Arc<Ear>,
        queue_watch: &mut Option<Watch>,
    ) -> io::Result<()> {
        let before = || {
            self.owners.with(&request.claim(), |mine| match mine {
                Mine::Waiting(ticket) => queue::before(slot, ticket),
                _ => Ok(Vec::new()),
            })
        };
        let mut names = before()?;
        if names.len() >= FRONT && queue_watch.as_ref().is_none_or(|watch| !watch.works()) {
            // Again after the watch began, so that nobody leaves unnoticed in between.
            let watch = queue_watch.insert(self.watches.watch(&slot.queue(), ear));
            names = if watch.works() { before()? } else { Vec::new() };
        }
        ear.stand_behind(names);
        Ok(())
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
            Verdict::Held(left) => Ok(Glance::Held(left.unwrap_or(Duration::MAX))),
            Verdict::Released(ago) => {
                let left = ago.and_then(|ago| GRACE.checked_sub(ago)).unwrap_or_default();
                if left.is_zero() || !self.is_behind(slot, request, ahead)? {
                    return Ok(Glance::Now);
                }
                Ok(Glance::AfterGrace(left))
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

/// Finds those before this waiter who live, as many as it is to know. The dead must not:
/// nobody tells of their leaving. Each is opened once, which is an event to all who watch the queue;
/// later looks at names are none.
fn move_up(slot: &Slot, ear: &Ear, queue_watch: Option<&Watch>) -> io::Result<()> {
    if queue_watch.is_some_and(|watch| !watch.works()) {
        // The queue was deleted: nobody would tell of those who leave.
        ear.stand_behind(Vec::new());
        return Ok(());
    }
    if ear.ahead() >= FRONT {
        for name in ear.near() {
            if !os::exists(&slot.queue().join(&name))? {
                ear.gone(&name);
            }
        }
    }
    while let Some(name) = ear.next_ahead() {
        if !queue::lives(slot, &name)? {
            ear.gone(&name);
        }
    }
    Ok(())
}

/// The bounded fallback: a lost event costs no more than this.
fn longest_sleep(watch: &Watch, ear: &Ear) -> Duration {
    match ear.relies_on() {
        _ if !watch.works() => UNTOLD,
        // The front sees to crashes, as long as it runs.
        ahead if ahead >= FRONT => behind(ahead),
        _ if os::WATCH_TELLS_OF_DEATH => TOLD,
        _ => UNTOLD,
    }
}

/// How long one sleeps who relies on so many before it that it doesn't listen to the lock.
fn behind(ahead: usize) -> Duration {
    BEHIND * (1 << (ahead - FRONT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_the_front_the_sooner_a_waiter_looks_for_itself() {
        assert_eq!(behind(FRONT), BEHIND);
        assert_eq!(behind(FRONT + 1), BEHIND * 2);
    }

    #[test]
    fn other_news_do_not_cut_short_the_looks_after_a_closing() {
        let mut probes = Probes::default();
        probes.heard(News::Changed);
        assert_eq!(probes.0.len(), 0);
        probes.heard(News::Closed);
        probes.0.next();
        probes.heard(News::Changed);
        assert_eq!(probes.0.len(), AFTER_CLOSE.len() - 1);
        probes.heard(News::Closed);
        assert_eq!(probes.0.len(), AFTER_CLOSE.len());
    }
}

//! The fast way of a lock that this process released last: its own record goes forward.
//!
//! The released generation N is rewritten for the new owner and renamed to N+1, by the step that
//! fails if N+1 exists. No file is created and none removed, which is most of the cost otherwise.
//!
//! It is right because a released generation stays released unless its own process takes it
//! forward; everybody else publishes N+1, so one of the two steps fails. Since all older
//! generations were swept before, numbers still vanish in ascending order. Afterwards our file must
//! be the one at N+1: then it was at N until then, and by the rules of [`crate::slot`] it is the
//! highest. Any doubt ends in the full look.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use lock_core::{AcquireRequest, FencingToken, LockKey, Ttl};
use lru::LruCache;

use crate::held::{HeldFile, deadline};
use crate::os;
use crate::owners::lock;
use crate::queue::GRACE;
use crate::record::State;
use crate::seam::Point;
use crate::shared::Shared;
use crate::slot::Slot;

/// Released records kept open, each a file descriptor (macOS gives a process 256 by default).
const KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Records that this process released last, by key.
#[derive(Debug)]
pub(crate) struct Released(Mutex<LruCache<LockKey, (u32, HeldFile)>>);

impl Default for Released {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Released {
    /// Keeps a record that was just released. Its kernel lock is kept as well: the state says
    /// that it is free, and the state comes first.
    pub(crate) fn keep(&self, key: &LockKey, held: HeldFile) {
        if os::MOVES_RECORDS && held.swept {
            let dropped = lock(&self.0).push(key.clone(), (std::process::id(), held));
            drop(dropped);
        }
    }

    /// As if this process were a forked child of the one that released.
    #[cfg(test)]
    pub(crate) fn fork_for_test(&self) {
        lock(&self.0).iter_mut().for_each(|(_, (pid, _))| *pid += 1);
    }

    fn take(&self, key: &LockKey) -> Option<HeldFile> {
        let (pid, held) = lock(&self.0).pop(key)?;
        // A forked child shares the descriptor with its parent: the two would write over each other.
        (pid == std::process::id()).then_some(held)
    }
}

impl Shared {
    /// Takes our released record forward; `None`: look.
    pub(crate) fn take_forward(&self, slot: &Slot, request: &AcquireRequest, ttl: Ttl) -> io::Result<Option<HeldFile>> {
        let Some(mut held) = self.released.take(request.key()) else { return Ok(None) };
        let released = held.header;
        let State::Released(at) = released.state else { return Ok(None) };
        let in_grace = u128::from(self.host.now().saturating_sub(at)) < GRACE.as_nanos();
        if in_grace && os::exists(&slot.queue())? {
            return Ok(None);
        }
        let (from, to) = (slot.generation(held.number), slot.generation(held.number + 1));
        // Before a byte is written: the directory may have been deleted, and another be there.
        if !held.file.is_at(&from)? {
            return Ok(None);
        }
        let token = self.next_token(held.token.get());
        let (mut bytes, header) = self.body(request, token, ttl).encode(State::Held(deadline(&self.host, ttl)))?;
        // What a longer body leaves behind is blanked, for people's eyes.
        bytes.resize(bytes.len().max(crate::record::HEADER_LEN + released.body_len), b' ');
        held.file.write(&bytes)?;
        self.seam.pause(Point::BeforePublish);
        match os::publish(&from, &to) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        if !held.file.is_at(&to)? {
            // Somebody deleted files in the last microseconds, and this is another's: put it back.
            let _ = os::publish(&to, &from);
            return Ok(None);
        }
        (held.number, held.header, held.token) = (held.number + 1, header, FencingToken::new(token));
        Ok(Some(held))
    }
}

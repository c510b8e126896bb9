//! A generation that this process holds: renewing and releasing it.

use std::io;

use lock_core::{FencingToken, Ttl};

use crate::host::Host;
use crate::os::{self, OwnFile};
use crate::record::{Header, State};
use crate::slot::Slot;

/// A generation of ours.
#[derive(Debug)]
pub(crate) struct HeldFile {
    pub(crate) slot: Slot,
    pub(crate) number: u64,
    pub(crate) file: OwnFile,
    pub(crate) header: Header,
    pub(crate) token: FencingToken,
    /// All older generations were swept when this one was published.
    pub(crate) swept: bool,
}

impl HeldFile {
    /// Writes a deadline `ttl` from now. `Ok(false)`: the lock is lost.
    ///
    /// An error leaves the old deadline standing: it is what others may have read.
    pub(crate) fn renew(&mut self, host: &Host, ttl: Ttl) -> io::Result<bool> {
        let State::Held(old) = self.header.state else { return Ok(false) };
        let renewed = Header { state: State::Held(deadline(host, ttl)), ..self.header };
        self.file.write(&renewed.line())?;
        if !self.is_current()? {
            return Ok(false);
        }
        // After the write: whoever read the old deadline before it, and found it passed, did so
        // at a time that this clock has reached as well.
        if host.now() >= old {
            return Ok(false);
        }
        self.header = renewed;
        Ok(true)
    }

    /// Says that it is free; `Ok(false)` if it wasn't ours any more.
    ///
    /// The check comes first: after the write a waiter may succeed us at once.
    pub(crate) fn release(&mut self, host: &Host) -> io::Result<bool> {
        if !self.is_current()? {
            return Ok(false);
        }
        let released = Header { state: State::Released(host.now()), ..self.header };
        self.file.write(&released.line())?;
        self.header = released;
        Ok(true)
    }

    /// Whether no successor was published.
    ///
    /// In this order: a successor that came and was swept before the first look took our file
    /// with it (older ones go first), and the second look sees that.
    fn is_current(&self) -> io::Result<bool> {
        if os::exists(&self.slot.generation(self.number + 1))? {
            return Ok(false);
        }
        self.file.is_at(&self.slot.generation(self.number))
    }
}

/// The lease clock's time at which a lease granted now is over.
pub(crate) fn deadline(host: &Host, ttl: Ttl) -> u64 {
    host.now().saturating_add(u64::try_from(ttl.get().as_nanos()).unwrap_or(u64::MAX))
}

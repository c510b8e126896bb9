//! The queue of those who wait: tickets in the lock's directory `queue`, named by time of arrival.
//!
//! A ticket is the waiter's own file, locked by it. It keeps its place until the owner is granted
//! the lock (the ticket itself then becomes the generation) or withdraws. The order binds for
//! [`GRACE`] after a release only, so a waiter that is stopped holds the others up no longer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lock_core::{Contention, LockKey, LockRecord, OwnerId};

use crate::host::Host;
use crate::os::{self, OwnFile};
use crate::record::Record;
use crate::slot::Slot;

/// How long after a release the earliest live ticket alone may take the lock: some times what a
/// waiter needs from the release to its own publication on a busy machine.
pub(crate) const GRACE: Duration = Duration::from_millis(10);

/// A place in a lock's queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) file: OwnFile,
}

/// A ticket before ours, and how many there are.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) path: PathBuf,
    owner: Option<OwnerId>,
    waiters: u64,
}

impl Ticket {
    /// Queues a prepared file at `from`. The directory is there only while somebody waits, so
    /// that one look at it tells a lock in no demand.
    pub(crate) fn publish(
        slot: &Slot,
        arrival: u64,
        owner: OwnerId,
        file: OwnFile,
        from: &std::path::Path,
    ) -> io::Result<Self> {
        let name = format!("{arrival:020}.{owner}");
        let path = slot.queue().join(&name);
        for _ in 0..8 {
            match os::rename(from, &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                answer => return answer.map(|()| Self { name, path, file }),
            }
            match os::create_private_directory(&slot.queue()) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Leaves the queue.
    pub(crate) fn withdraw(self) -> io::Result<()> {
        match os::remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The live ticket before `mine` (any, without one): the nearest, or the earliest of all.
/// Dead ones on the way are removed, and so is a queue that turns out empty.
pub(crate) fn ahead(slot: &Slot, mine: Option<&Ticket>, nearest: bool) -> io::Result<Option<Ahead>> {
    let queue = slot.queue();
    let mut names = names(slot)?;
    names.sort_unstable();
    let waiters = names.len() as u64;
    if let Some(mine) = mine {
        names.retain(|name| *name < mine.name);
    }
    if nearest {
        names.reverse();
    }
    for name in names {
        let owner = owner_of(&name);
        let path = queue.join(name);
        if is_live(&path, owner)? {
            return Ok(Some(Ahead { path, owner, waiters }));
        }
    }
    if mine.is_none() {
        // Fails, and should, if somebody has queued meanwhile.
        let _ = std::fs::remove_dir(&queue);
    }
    Ok(None)
}

/// The names of the tickets before this one, live or not.
pub(crate) fn before(slot: &Slot, mine: &Ticket) -> io::Result<Vec<String>> {
    let mut names = names(slot)?;
    names.retain(|name| *name < mine.name);
    Ok(names)
}

/// Whether the ticket of this name is a live waiter's; a dead one's is removed.
pub(crate) fn lives(slot: &Slot, name: &str) -> io::Result<bool> {
    is_live(&slot.queue().join(name), owner_of(name))
}

fn owner_of(name: &str) -> Option<OwnerId> {
    name.split_once('.').and_then(|(_, owner)| owner.parse().ok())
}

fn names(slot: &Slot) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(slot.queue()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        answer => answer?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// Whether the ticket's waiter lives; if it doesn't, its ticket is removed.
fn is_live(path: &std::path::Path, owner: Option<OwnerId>) -> io::Result<bool> {
    let file = match os::open_record(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        answer => answer?,
    };
    if !os::nobody_locks(path, &file, owner)? {
        return Ok(true);
    }
    // Not its owner's any more: a ticket that was granted has left this place already.
    match os::remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(false),
    }
}

impl Ahead {
    /// Whether that waiter still has its place and lives.
    pub(crate) fn is_live(&self) -> io::Result<bool> {
        is_live(&self.path, self.owner)
    }

    /// What those are told who must let it go first.
    pub(crate) fn contention(&self, host: &Host, key: &LockKey, grace_left: Duration) -> Contention {
        let said = std::fs::read(&self.path).ok().and_then(|bytes| Record::parse(&bytes));
        let record = match said {
            Some(record) => record.body.describe(host, key.clone(), Some(grace_left)),
            None => LockRecord::unknown(key.clone()).with_expires_in(grace_left),
        };
        Contention::new(record).with_waiters(self.waiters)
    }
}

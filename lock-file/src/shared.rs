//! What all calls of a backend share.

use std::io;
use std::path::{Path, PathBuf};

use lock_core::{BackendError, Claim, Lease, Operation, Release, Renewal};

use crate::error::from_io;
use crate::host::Host;
use crate::os;
use crate::owners::{Mine, Owners};
use crate::reuse::Released;
use crate::seam::Seam;
use crate::slot::Slot;
use crate::temporaries::Temporaries;
use crate::watch::Watches;

/// The state of one backend.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) host: Host,
    pub(crate) owners: Owners,
    pub(crate) released: Released,
    pub(crate) temporaries: Temporaries,
    pub(crate) watches: Watches,
    pub(crate) seam: Seam,
}

impl Shared {
    pub(crate) fn new(root: PathBuf, host: Host) -> Self {
        Self {
            temporaries: Temporaries::of(&root),
            root,
            host,
            owners: Owners::default(),
            released: Released::default(),
            watches: Watches::default(),
            seam: Seam::new(),
        }
    }

    /// Extends a lease, or says that it is lost. A lost one is forgotten: nothing revives it.
    pub(crate) fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        let ttl = crate::backend::capabilities().grantable(lease.ttl())?;
        self.owners.with(lease.claim(), |mine| {
            let Mine::Held(held) = mine else { return Ok(Renewal::Lost) };
            let renewed = self.seam.failure().map_or_else(|| held.renew(&self.host, ttl), Err);
            match renewed {
                Ok(true) => Ok(Renewal::Renewed(ttl)),
                Ok(false) => {
                    *mine = Mine::Nothing;
                    Ok(Renewal::Lost)
                }
                Err(error) => {
                    let path = held.slot.generation(held.number);
                    Err(from_io(Operation::Renew, "writing", &path, error).with_key(lease.key()))
                }
            }
        })
    }

    /// Frees what is the owner's: its lock, or its place in the queue.
    pub(crate) fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        self.owners.with(claim, |mine| match std::mem::take(mine) {
            Mine::Nothing | Mine::Gone => Ok(Release::NotHeld),
            Mine::Waiting(ticket) => {
                let path = ticket.path.clone();
                ticket.withdraw().map(|()| Release::NotHeld).map_err(|error| {
                    from_io(Operation::Release, "leaving the queue at", &path, error).with_key(claim.key())
                })
            }
            Mine::Held(mut held) => match held.release(&self.host) {
                Ok(true) => {
                    self.released.keep(claim.key(), held);
                    Ok(Release::Released)
                }
                Ok(false) => Ok(Release::NotHeld),
                Err(error) => {
                    // Dropping the file lets go of the kernel lock, and that alone frees the lock.
                    let path = held.slot.generation(held.number);
                    drop(held);
                    tracing::debug!(%error, path = %path.display(), "released by the kernel lock alone");
                    Ok(Release::Released)
                }
            },
        })
    }

    /// Creates a lock's directory, and those above it where somebody deleted them.
    pub(crate) fn create_slot(&self, slot: &Slot) -> io::Result<()> {
        match create_if_missing(slot.directory()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_root()?;
                create_if_missing(slot.directory())
            }
            answer => answer,
        }
    }

    /// Creates the directory of all locks and that of the temporaries, if they are missing.
    pub(crate) fn create_root(&self) -> io::Result<()> {
        crate::directory::create(&self.root)?;
        create_if_missing(self.temporaries.directory())
    }
}

fn create_if_missing(directory: &Path) -> io::Result<()> {
    match os::create_private_directory(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

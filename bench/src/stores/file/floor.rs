//! What no lock on files can beat by much.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use distlock::{MemoryBackend, Supervisor};

use crate::contest::{Blocking, BlockingLock, Client, Contestant, Held, Kind, Lack, Ours, Place, Role, Way};

/// The classic lock file, and the cheapest way to leave a record that others can read.
pub(crate) fn create_write_remove() -> Contestant {
    const ALONE: &str = "excludes, but can't wait";
    Contestant {
        name: "create + write + remove",
        role: Role::Floor,
        lacks: &[Lack::Token, Lack::HangTakeover],
        note: "open(O_CREAT|O_EXCL), write of the pid, close, unlink",
        way: Way::Client(|place| Box::pin(async move { CreateWriteRemove::new(&place) })),
        skips: &[
            (Kind::Handoff, ALONE),
            (Kind::Heartbeats, "nothing is renewed"),
            (Kind::Recovery, ALONE),
            (Kind::Waiting, ALONE),
        ],
    }
}

struct CreateWriteRemove(PathBuf);

impl CreateWriteRemove {
    #[expect(clippy::new_ret_no_self, reason = "contestants are reached through the trait")]
    fn new(place: &Place) -> Result<Arc<dyn Client>> {
        fs::create_dir_all(place.directory())?;
        Ok(Arc::new(Self(place.directory().to_owned())))
    }
}

#[async_trait]
impl Client for CreateWriteRemove {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        let path = self.0.join(format!("{key}.pid"));
        let mut file = File::create_new(&path)?;
        write!(file, "{}", std::process::id())?;
        Ok(Box::new(Created(path)))
    }
}

struct Created(PathBuf);

#[async_trait]
impl Held for Created {
    async fn release(self: Box<Self>) -> Result<()> {
        Ok(fs::remove_file(self.0)?)
    }
}

/// A kernel lock and nothing else.
pub(crate) fn flock() -> Contestant {
    Contestant {
        name: "flock(2)",
        role: Role::Floor,
        lacks: &[Lack::Token, Lack::Metadata, Lack::HangTakeover, Lack::AsyncWaiting],
        note: "open, flock, close, by the standard library",
        way: Way::Client(|place| {
            Box::pin(async move {
                fs::create_dir_all(place.directory())?;
                Ok(Blocking::client(Flock(place.directory().to_owned()), &place))
            })
        }),
        skips: &[(Kind::Heartbeats, "nothing is renewed")],
    }
}

struct Flock(PathBuf);

impl Flock {
    fn open(&self, key: &str) -> Result<File> {
        Ok(File::options().append(true).create(true).open(self.0.join(format!("{key}.flock")))?)
    }
}

impl BlockingLock for Flock {
    type Guard = File;

    fn try_lock(&self, key: &str) -> Result<Option<File>> {
        let file = self.open(key)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn lock(&self, key: &str) -> Result<File> {
        let file = self.open(key)?;
        file.lock()?;
        Ok(file)
    }
}

/// What the supervisor costs without a store.
pub(crate) fn memory() -> Contestant {
    const ONE: &str = "one process only";
    Contestant {
        name: "distlock, memory backend",
        role: Role::Floor,
        lacks: &[],
        note: "the supervisor alone: no store, one process",
        way: Way::Client(|place| {
            Box::pin(async move {
                Ok(Arc::new(Ours { locks: Supervisor::new(MemoryBackend::new()), ttl: place.ttl() }) as Arc<dyn Client>)
            })
        }),
        skips: &[(Kind::Handoff, ONE), (Kind::Recovery, ONE), (Kind::Waiting, ONE)],
    }
}

//! Other crates that lock files.

use std::fs::{self, File};
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use distributed_lock_core::{DistributedLock as _, LockHandle as _, LockProvider as _};
use distributed_lock_file::{FileLockHandle, FileLockProvider};
use fd_lock::RwLock;
use named_lock::{NamedLock, NamedLockGuard};

use crate::contest::{Blocking, BlockingLock, Client, Contestant, Held, Kind, Lack, Place, Role, Way};

const FLOCK_LACKS: &[Lack] =
    &[Lack::Token, Lack::Metadata, Lack::HangTakeover, Lack::LossNotice, Lack::Order, Lack::AsyncWaiting];
const NOT_RENEWED: (Kind, &str) = (Kind::Heartbeats, "nothing is renewed");
/// Who sleeps in the kernel's lock costs what the floor costs.
const FLOCK_SKIPS: &[(Kind, &str)] = &[NOT_RENEWED, (Kind::Waiting, "sleeps in the same call as the floor")];

pub(crate) fn contestants() -> Vec<Contestant> {
    const FLOCK: &str = "flock(2) on an open file; released by closing it";
    let peer = |name, lacks, note, way, skips| Contestant { name, role: Role::Peer, lacks, note, way, skips };
    vec![
        peer("fd-lock", FLOCK_LACKS, FLOCK, Way::Client(fd_lock), FLOCK_SKIPS),
        peer("fs4", FLOCK_LACKS, FLOCK, Way::Client(fs4), FLOCK_SKIPS),
        peer(
            "named-lock",
            FLOCK_LACKS,
            "flock(2), and a mutex within the process",
            Way::Client(named_lock),
            FLOCK_SKIPS,
        ),
        peer(
            "distributed-lock (file)",
            &[Lack::Token, Lack::Metadata, Lack::HangTakeover, Lack::LossNotice, Lack::Order, Lack::WakeUp],
            "flock(2) on a file that is removed at the release; asks again after 5 ms to 1 s",
            Way::Client(|place| Box::pin(async move { DistributedLock::client(&place) })),
            &[NOT_RENEWED],
        ),
    ]
}

/// Where the files of a peer are.
fn made(place: &Place) -> Result<PathBuf> {
    fs::create_dir_all(place.directory())?;
    Ok(place.directory().to_owned())
}

fn open(path: PathBuf) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn fd_lock(place: Place) -> crate::contest::Connecting {
    Box::pin(async move { Ok(Blocking::client(FdLock(made(&place)?), &place)) })
}

struct FdLock(PathBuf);

impl BlockingLock for FdLock {
    type Guard = RwLock<File>;

    fn try_lock(&self, key: &str) -> Result<Option<Self::Guard>> {
        let mut lock = RwLock::new(open(self.0.join(format!("{key}.fd-lock")))?);
        match lock.try_write() {
            // The guard borrows the lock; the end of the file unlocks as well.
            Ok(guard) => mem::forget(guard),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(lock))
    }

    fn lock(&self, key: &str) -> Result<Self::Guard> {
        let mut lock = RwLock::new(open(self.0.join(format!("{key}.fd-lock")))?);
        mem::forget(lock.write()?);
        Ok(lock)
    }
}

fn fs4(place: Place) -> crate::contest::Connecting {
    Box::pin(async move { Ok(Blocking::client(Fs4(made(&place)?), &place)) })
}

struct Fs4(PathBuf);

impl BlockingLock for Fs4 {
    type Guard = File;

    fn try_lock(&self, key: &str) -> Result<Option<File>> {
        let file = open(self.0.join(format!("{key}.fs4")))?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => Ok(Some(file)),
            Err(fs4::TryLockError::WouldBlock) => Ok(None),
            Err(fs4::TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn lock(&self, key: &str) -> Result<File> {
        let file = open(self.0.join(format!("{key}.fs4")))?;
        fs4::FileExt::lock(&file)?;
        Ok(file)
    }
}

fn named_lock(place: Place) -> crate::contest::Connecting {
    Box::pin(async move { Ok(Blocking::client(Named(made(&place)?), &place)) })
}

struct Named(PathBuf);

impl BlockingLock for Named {
    type Guard = NamedLockGuard;

    fn try_lock(&self, key: &str) -> Result<Option<NamedLockGuard>> {
        match NamedLock::with_path(self.0.join(format!("{key}.named")))?.try_lock() {
            Ok(guard) => Ok(Some(guard)),
            Err(named_lock::Error::WouldBlock) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn lock(&self, key: &str) -> Result<NamedLockGuard> {
        Ok(NamedLock::with_path(self.0.join(format!("{key}.named")))?.lock()?)
    }
}

struct DistributedLock(FileLockProvider);

impl DistributedLock {
    fn client(place: &Place) -> Result<Arc<dyn Client>> {
        Ok(Arc::new(Self(FileLockProvider::new(made(place)?.join("distributed-lock"))?)))
    }
}

#[async_trait]
impl Client for DistributedLock {
    async fn acquire(&self, key: &str) -> Result<Box<dyn Held>> {
        Ok(Box::new(DistributedHeld(self.0.create_lock(key).acquire(None).await?)))
    }
}

struct DistributedHeld(FileLockHandle);

#[async_trait]
impl Held for DistributedHeld {
    async fn release(self: Box<Self>) -> Result<()> {
        Ok(self.0.release().await?)
    }
}

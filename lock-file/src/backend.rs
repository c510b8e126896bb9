//! The backend: opening a directory, and the five calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Attempt, BackendError, Capabilities, Claim, Contention, ErrorKind, Fairness, Lease, LeaseClock,
    LockBackend, Operation, Release, Renewal, Scope, TokenDurability, Ttl, WakeUp,
};

use crate::error::At;
use crate::host::Host;
use crate::shared::Shared;
use crate::{directory, network, os, wait};

/// Locks in a directory of this host. See the crate's page.
#[derive(Debug)]
pub struct FileBackend {
    pub(crate) shared: Shared,
}

/// Settings of a [`FileBackend`].
#[derive(Debug, Clone)]
pub struct FileBackendBuilder {
    directory: PathBuf,
    network_file_systems: NetworkFileSystems,
}

/// What to do when the directory turns out to be on a network file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NetworkFileSystems {
    /// Refuse it: the locks of one host say nothing to another there, or not always.
    #[default]
    Refuse,
    /// Use it all the same. Only right if all contenders are on *one* host, for ever.
    Allow,
}

impl FileBackend {
    /// Opens a directory, and creates it if it is missing, with mode 0700.
    ///
    /// # Errors
    /// [`BackendError`] when it can't be used: no permission, no directory, a network file system.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, BackendError> {
        Self::builder(directory).open()
    }

    /// Opens [`default_directory`](Self::default_directory), and refuses it unless it is this
    /// user's alone: a symbolic link, another owner, and a mode that lets others write are errors.
    ///
    /// # Errors
    /// [`BackendError`] of kind `PermissionDenied` for one that isn't ours; else as [`open`](Self::open).
    pub fn open_default() -> Result<Self, BackendError> {
        Self::builder(Self::default_directory()).open()
    }

    /// Settings other than the usual ones.
    pub fn builder(directory: impl Into<PathBuf>) -> FileBackendBuilder {
        FileBackendBuilder { directory: directory.into(), network_file_systems: NetworkFileSystems::default() }
    }

    /// Where locks are when nobody says: `$XDG_RUNTIME_DIR/distlock`, else a directory of this
    /// user below the system's temporary one.
    pub fn default_directory() -> PathBuf {
        directory::default_path()
    }

    /// The directory in use.
    pub fn directory(&self) -> &Path {
        &self.shared.root
    }
}

impl FileBackendBuilder {
    /// What to do when the directory turns out to be on a network file system.
    pub fn with_network_file_systems(mut self, choice: NetworkFileSystems) -> Self {
        self.network_file_systems = choice;
        self
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// As [`FileBackend::open`].
    pub fn open(self) -> Result<FileBackend, BackendError> {
        self.open_on(Host::this())
    }

    pub(crate) fn open_on(self, host: Host) -> Result<FileBackend, BackendError> {
        let given = &self.directory;
        // A later `cd` of the program must not move its locks.
        let root = std::path::absolute(given).at(Operation::Connect, "resolving", given)?;
        let is_default = root == FileBackend::default_directory();
        if is_default && os::exists(&root).at(Operation::Connect, "looking at", &root)? {
            directory::check_private(&root)?;
        }
        directory::create(&root).at(Operation::Connect, "creating", &root)?;
        if is_default {
            directory::check_private(&root)?;
        }
        if self.network_file_systems == NetworkFileSystems::Refuse
            && let Some(name) = network::untrusted(&root).at(Operation::Connect, "looking at", &root)?
        {
            let message = format!("{} is on a network file system ({name})", root.display());
            return Err(BackendError::new(ErrorKind::InvalidConfiguration, Operation::Connect, message)
                .with_advice("use a local directory, or a network backend: redis, etcd, consul"));
        }
        let shared = Shared::new(root, host);
        shared.create_root().at(Operation::Connect, "creating", shared.temporaries.directory())?;
        if let Err(error) = shared.temporaries.sweep(&shared.host) {
            // Litter costs nothing but room; another process may be allowed to remove it.
            tracing::debug!(%error, directory = %shared.root.display(), "old temporaries were left");
        }
        Ok(FileBackend { shared })
    }
}

/// What a directory of this host can do.
pub(crate) fn capabilities() -> Capabilities {
    let within = if os::WATCH_TELLS_OF_DEATH { wait::TOLD } else { wait::UNTOLD };
    Capabilities::new("file")
        .with_ttl_range(Duration::from_millis(10), Ttl::MAX, Duration::from_millis(1))
        .with_tokens(TokenDurability::DataLoss)
        .with_wake_up(WakeUp::Notified, within)
        .with_fairness(Fairness::Queue)
        .with_scope(Scope::Host)
        .with_lease_clock(LeaseClock::Monotonic)
}

/// All calls but `wait` run to their end on the calling thread, without an await point: a call
/// takes some microseconds, handing it to a blocking thread about ten. Nothing is synced to the
/// disk: a power cut ends all holders with the records.
#[async_trait]
impl LockBackend for FileBackend {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        self.shared.try_acquire(request)
    }

    /// Dropping this future keeps the place in the queue, until `release` withdraws it.
    async fn wait(&self, request: &AcquireRequest, _seen: &Contention) -> Result<(), BackendError> {
        self.shared.wait(request).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Renewal, BackendError> {
        self.shared.renew(lease)
    }

    async fn release(&self, claim: &Claim) -> Result<Release, BackendError> {
        self.shared.release(claim)
    }
}

//! The conformance kit on the file backend: two clients are two backends on one directory, which
//! exclude each other as two processes do (`flock` belongs to the open file, not to the process).

use std::time::Duration;

use lock_core::async_trait;
use lock_core::conformance::{Client, Harness, HarnessError};
use lock_file::FileBackend;
use tempfile::TempDir;

struct Directory(TempDir);

#[async_trait]
impl Harness for Directory {
    async fn client(&self) -> Result<Client, HarnessError> {
        Ok(Client::of(FileBackend::open(self.0.path())?))
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(400)
    }
}

lock_core::conformance!(|| std::future::ready(tempfile::tempdir().map(Directory)));

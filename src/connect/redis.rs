//! `redis:`: Redis or Valkey.

use std::sync::Arc;

use lock_core::Store;

use super::invalid;
use crate::ConnectError;

/// What can be written.
pub(super) const KNOWN: &str = "\"redis://HOST:6379\"";

#[expect(clippy::unused_async, reason = "scaffold: the backend follows")]
pub(super) async fn open(_text: &str) -> Result<Arc<dyn Store>, ConnectError> {
    Err(invalid("this backend is being built"))
}

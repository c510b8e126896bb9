//! Ports for servers.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use anyhow::{Result, bail};

/// A port of 127.0.0.1 that nobody listens on, and that this process was not given before.
///
/// Another process can take it before the server does: who starts a server tries again with another.
///
/// # Errors
/// When the system has none.
pub fn free() -> Result<u16> {
    free_with(0)
}

/// As [`free`], where `port + offset` is free as well (a Redis Cluster's bus is at +10000).
///
/// # Errors
/// When the system has none.
pub fn free_with(offset: u16) -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    for _ in 0..1000 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let Some(companion) = port.checked_add(offset) else { continue };
        if offset > 0 && TcpListener::bind((Ipv4Addr::LOCALHOST, companion)).is_err() {
            continue;
        }
        let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let given = given.get_or_insert_default();
        if !given.contains(&companion) && given.insert(port) {
            given.insert(companion);
            return Ok(port);
        }
    }
    bail!("no free port was found in 1000 tries");
}

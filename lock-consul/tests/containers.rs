//! The conformance kit on an agent in a container. Without an engine or the image these tests fail, and say what to do.
#![cfg(feature = "containers")]

mod harness;

use std::sync::{Mutex, PoisonError};

use harness::Prefix;
use lock_core::conformance::HarnessError;
use testbed::container::Container;

fn start() -> Result<Prefix, HarnessError> {
    static AGENT: Mutex<Option<Container>> = Mutex::new(None);
    let mut agent = AGENT.lock().unwrap_or_else(PoisonError::into_inner);
    if agent.is_none() {
        *agent = Some(Container::consul()?);
    }
    Ok(Prefix::on(agent.as_ref().map(|agent| format!("http://{}", agent.address())).unwrap_or_default()))
}

// Leases here take 20 s to expire: the cases wait for that together.
lock_core::conformance!(at_once(8): || std::future::ready(start()));

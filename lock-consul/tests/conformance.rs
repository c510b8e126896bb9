//! The conformance kit on a real agent, one for all cases.

mod harness;

use std::sync::{Mutex, PoisonError};

use harness::Prefix;
use lock_core::conformance::HarnessError;
use testbed::consul::Agent;

fn start() -> Result<Prefix, HarnessError> {
    static AGENT: Mutex<Option<Agent>> = Mutex::new(None);
    let mut agent = AGENT.lock().unwrap_or_else(PoisonError::into_inner);
    if agent.is_none() {
        *agent = Some(Agent::dev()?);
    }
    Ok(Prefix::on(agent.as_ref().map(Agent::address).unwrap_or_default()))
}

// Leases here take 20 s to expire: the cases wait for that together.
lock_core::conformance!(at_once(8): || std::future::ready(start()));

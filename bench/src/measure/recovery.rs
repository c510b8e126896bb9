//! E: from a holder's death (SIGKILL) or its stopping (SIGSTOP) to the grant of a waiter in another process.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::Run;
use crate::contest::{Contestant, Kind, Place, Way};
use crate::figures::{monotonic_ns, percentile};
use crate::worker::Worker;

pub(crate) fn run(run: &mut Run) {
    let ttl = run.store.shortest_ttl();
    for (setting, signal, times) in
        [("killed", Signal::KILL, run.pick(5, 1)), ("stopped", Signal::STOP, run.pick(1, 1))]
    {
        for _ in 0..run.pick(3, 1) {
            run.turns(
                Kind::Recovery,
                setting,
                u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
                |run, contestant, of| {
                    let mut samples = Vec::new();
                    for time in 0..times {
                        samples.push(once(run, contestant, ttl, signal, time)?);
                    }
                    run.results.add(of, "p50 ms", percentile(&mut samples, 50.0));
                    run.results.add(of, "max ms", percentile(&mut samples, 100.0));
                    Ok(())
                },
            );
        }
    }
}

fn once(run: &Run, contestant: &Contestant, ttl: Duration, signal: Signal, time: u32) -> Result<f64> {
    if let Way::Signal(_) = contestant.way {
        return Ok(f64::NAN);
    }
    let Place { url, tag, alone, .. } = run.place();
    let place = Place { ttl_ms: u64::try_from(ttl.as_millis())?, tag: format!("{tag}-{time}"), url, alone };
    let holder = Worker::start(run.backend, contestant, &place, &["hold"])?;
    let mut waiter = Worker::start(run.backend, contestant, &place, &["wait"])?;
    waiter.go()?;
    // Until it sleeps in its wait.
    std::thread::sleep(Duration::from_millis(200));
    let struck = monotonic_ns();
    holder.signal(signal)?;
    // A store may take twice the TTL, and a bit.
    let limit = ttl * 2 + Duration::from_secs(3);
    let granted: u64 = waiter.line(limit).with_context(|| format!("not granted within {limit:.0?}"))?.parse()?;
    // Dropped here, the waiter first: the next turn begins when both are gone.
    drop(waiter);
    drop(holder);
    Ok(granted.saturating_sub(struck) as f64 / 1e6)
}

//! E: from a holder's death (SIGKILL) or its stopping (SIGSTOP) to the grant of a waiter in another process.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use rustix::process::Signal;

use super::Run;
use crate::contest::{Contestant, Kind, Place, Way};
use crate::figures::monotonic_ns;
use crate::worker::Worker;

pub(crate) fn run(run: &mut Run) {
    let ttl = run.store.shortest_ttl();
    let load = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    // A round of a store takes up to twice its TTL.
    let kills = match ttl.as_secs() {
        0..=1 => 15,
        2..=5 => 5,
        _ => 3,
    };
    for (setting, signal, rounds) in
        [("killed", Signal::KILL, run.pick(kills, 2)), ("stopped", Signal::STOP, run.pick(3, 1))]
    {
        for _ in 0..rounds {
            // All are struck, one after the other, and then all are waited for: they do nothing meanwhile.
            let mut struck = Vec::new();
            run.turns(Kind::Recovery, setting, load, |run, contestant, of| {
                if let Way::Signal(_) = contestant.way {
                    return Ok(());
                }
                struck.push((of.clone(), strike(run, contestant, ttl, signal)?));
                Ok(())
            });
            for (of, struck) in struck {
                match struck.granted(ttl) {
                    Ok(ms) => run.results.add(&of, "ms", ms),
                    Err(error) => run.results.fail(of, format!("{error:#}")),
                }
            }
        }
    }
}

struct Struck {
    // Ends first, so that it isn't granted the lock by the holder's end.
    waiter: Worker,
    _holder: Worker,
    at: u64,
}

fn strike(run: &Run, contestant: &Contestant, ttl: Duration, signal: Signal) -> Result<Struck> {
    let place = Place { ttl_ms: u64::try_from(ttl.as_millis())?, ..run.place() };
    let holder = Worker::start(run.backend, contestant, &place, &["hold"])?;
    let mut waiter = Worker::start(run.backend, contestant, &place, &["wait"])?;
    waiter.go()?;
    // Until it sleeps in its wait.
    std::thread::sleep(Duration::from_millis(200));
    let at = monotonic_ns();
    holder.signal(signal)?;
    Ok(Struck { waiter, _holder: holder, at })
}

impl Struck {
    /// After how many milliseconds the waiter was granted the lock.
    fn granted(mut self, ttl: Duration) -> Result<f64> {
        // A store may take twice the TTL, and a bit.
        let limit = ttl * 2 + Duration::from_secs(3);
        match self.waiter.line(limit).map_err(|_| anyhow!("not granted within {limit:.0?}"))?.parse::<u64>() {
            Ok(granted) if granted < self.at => bail!("granted before the holder was struck"),
            Ok(granted) => Ok((granted - self.at) as f64 / 1e6),
            Err(error) => Err(error.into()),
        }
    }
}

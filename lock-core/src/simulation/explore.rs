//! Trying a program under the faults of many seeds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fault::Fault;
use super::process::{Ending, panicked};
use super::run::Simulation;
use super::shrink::shrink;

/// Runs a simulation for each seed, and fails with the first seed whose run doesn't end well: its faults, and of
/// these the fewest with which it still fails.
///
/// `build` is called for every run, several times for a seed that fails. It adds the clients and chooses the kinds
/// of faults; what it returns is asked at the end, and says whether all is well with what the clients did. To `assert!`
/// is as good as to return an error, in clients, at resources and at the end.
///
/// ```
/// use lock_core::simulation::{FaultKind, explore};
/// use std::sync::{Arc, Mutex};
///
/// explore(0..20, |simulation| {
///     let sum = Arc::new(Mutex::new(0));
///     simulation.fault_kinds(&[FaultKind::Messages, FaultKind::Partitions]);
///     for _ in 0..2 {
///         let sum = sum.clone();
///         simulation.client(|client| async move {
///             let Ok(guard) = client.supervisor().lock("sum").acquire().await else { return Ok(()) };
///             // Reading and writing are two steps: only the lock makes them one.
///             let from = sum.clone();
///             let read = client.at_resource(move || *from.lock().unwrap()).await;
///             if guard.is_held() {
///                 client.at_resource(move || *sum.lock().unwrap() = read + 1).await;
///             }
///             Ok(())
///         });
///     }
///     move || if *sum.lock().unwrap() <= 2 { Ok(()) } else { Err("counted too often".into()) }
/// });
/// ```
///
/// # Panics
/// When a run doesn't end well; the message has the seed.
pub fn explore<A>(seeds: impl IntoIterator<Item = u64>, mut build: impl FnMut(&mut Simulation) -> A)
where
    A: FnOnce() -> Ending,
{
    let mut attempt = |seed, faults: Option<&[Fault]>| {
        let mut simulation = Simulation::new(seed);
        let all_is_well = build(&mut simulation);
        if let Some(faults) = faults {
            simulation.faults(faults.to_vec());
        }
        let outcome = simulation.run();
        let failure = outcome.failures().next().or_else(|| objection(all_is_well));
        (outcome, failure)
    };
    for seed in seeds {
        let (outcome, Some(_)) = attempt(seed, None) else { continue };
        let number = outcome.faults.len();
        let faults = shrink(outcome.faults, |faults| attempt(seed, Some(faults)).1.is_some());
        let (outcome, failure) = attempt(seed, Some(&faults));
        let log: Vec<String> = outcome.log().collect();
        let faults: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
        panic!(
            "seed {seed}: {}\n{}\nwith {} of {number} faults:\n{}",
            failure.unwrap_or_default(),
            log.join("\n"),
            faults.len(),
            faults.join("\n")
        );
    }
}

/// What is not well.
fn objection(all_is_well: impl FnOnce() -> Ending) -> Option<String> {
    // What it has borrowed is the run's, and gone with it.
    match catch_unwind(AssertUnwindSafe(all_is_well)) {
        Ok(ending) => ending.err().map(|error| error.to_string()),
        Err(panic) => Some(panicked(&*panic)),
    }
}

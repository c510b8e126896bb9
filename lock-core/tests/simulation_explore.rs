//! What `explore` owes to who asks it: a failure is told with its seed, its faults and all that happened, however it
//! shows itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lock_core::simulation::{Client, Ending, Fault, FaultKind, Simulation, explore};

/// What `explore` says of it.
fn told<A: FnOnce() -> Ending>(build: impl FnMut(&mut Simulation) -> A) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| explore(0..200, build))).expect_err("some seed fails");
    *panic.downcast::<String>().expect("a panic with a text")
}

/// A client that asserts what faults make untrue: that its lock is held ten seconds later.
async fn trusting(client: Client) -> Ending {
    let locks = client.supervisor();
    let Ok(guard) = locks.lock("k").acquire().await else { return Ok(()) };
    tokio::time::sleep(Duration::from_secs(10)).await;
    client.note("asks");
    assert!(guard.is_held(), "the lock of {}", guard.key());
    Ok(())
}

#[test]
fn a_client_that_panics_is_told_with_seed_faults_and_log() {
    let told = told(|simulation| {
        simulation.fault_kinds(&[FaultKind::Pauses, FaultKind::Drift]).client(trusting);
        || Ok(())
    });
    assert!(told.starts_with("seed "), "{told}");
    assert!(told.contains(": client a: panicked: the lock of k\n"), "{told}");
    assert!(told.contains("client a  asks\n"), "the log: {told}");
    assert!(told.contains("\nwith 1 of ") && told.contains("is stopped for"), "the one fault that matters: {told}");
}

#[test]
fn a_panic_at_the_end_is_told_with_its_seed() {
    let runs = AtomicU32::new(0);
    let told = told(|_| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        move || {
            assert!(run < 3, "all is not well");
            Ok(())
        }
    });
    assert!(told.starts_with("seed 3: panicked: all is not well\n"), "{told}");
}

/// The deed is done, and panics, though who asked for it has gone on meanwhile.
#[test]
fn a_panic_at_a_resource_is_told_with_its_seed() {
    for waits in [true, false] {
        let told = told(|simulation| {
            simulation.client(move |client| async move {
                let deed = client.at_resource(|| -> () { panic!("a bad deed") });
                let patience = if waits { Duration::from_secs(9) } else { Duration::ZERO };
                let _ = tokio::time::timeout(patience, deed).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            });
            || Ok(())
        });
        let expected = if waits { "client a: panicked: a bad deed" } else { "client a panicked: a bad deed" };
        assert!(told.starts_with(&format!("seed 0: {expected}\n")), "{told}");
    }
}

/// A program that has ended badly isn't forgiven because its process is killed later.
#[test]
fn an_error_before_a_kill_counts() {
    let mut simulation = Simulation::new(0);
    simulation.faults(vec![Fault::Kill { client: 0, at: Duration::from_secs(2) }]);
    simulation.client(|_| async { Err("an early end".into()) });
    simulation.client(|_| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    });
    let outcome = simulation.run();
    assert!(!outcome.ended_well() && outcome.to_string().contains("client a: an early end"), "{outcome}");
}

/// What panics in a run leaves the next one as it should be.
#[test]
fn runs_after_a_panic_are_their_own() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..2 {
        let mut simulation = Simulation::new(5);
        simulation.client(|_| async { panic!("at once") });
        simulation.client(trusting);
        seen.lock().unwrap().push(simulation.run().fingerprint());
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], seen[1]);
}

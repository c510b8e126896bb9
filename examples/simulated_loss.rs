//! How a program of yours fares when it loses its lock: tried in simulation, from many seeds.
//!
//! `cargo run --example simulated_loss`
//!
//! Two clients move money between two accounts, under a lock. The first program trusts `is_held()`; a pause right
//! after the question lets it write when another has the lock. The second has the resource check the token.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::simulation::{Client, Ending, FaultKind, Simulation, explore};
use lock_core::{FencingGate, LockGuard};

/// What the lock protects. In real life a database; the gate would be a column and a condition there.
#[derive(Default)]
struct Bank {
    balance: u64,
    gate: FencingGate,
    deposits: u64,
}

type Shared = Arc<Mutex<Bank>>;

fn main() {
    let careless = catch_unwind(AssertUnwindSafe(|| explore(0..10_000, |simulation| program(simulation, false))));
    match careless {
        Err(_) => println!("\nWithout fencing a deposit is lost: that is what was printed above, with its seed."),
        Ok(()) => println!("Without fencing no deposit was lost in 10,000 seeds: surprising."),
    }
    explore(0..2_000, |simulation| program(simulation, true));
    println!("With fencing no deposit is lost in 2,000 seeds.");
}

/// Adds the clients of a run; what is returned says at its end whether all is well.
fn program(simulation: &mut Simulation, fenced: bool) -> impl FnOnce() -> Ending + use<> {
    let bank = Shared::default();
    simulation.ttl(Duration::from_secs(15)).fault_kinds(&[FaultKind::Pauses, FaultKind::Partitions, FaultKind::Drift]);
    for _ in 0..2 {
        let bank = bank.clone();
        simulation.client(move |client| async move {
            let locks = client.supervisor();
            for _ in 0..10 {
                // Not to get the lock is no failure here: the store may be out of reach.
                let Ok(guard) = locks.lock("account").acquire().await else { continue };
                deposit(&client, &guard, &bank, fenced).await;
                let _ = guard.release().await;
            }
            Ok(())
        });
    }
    move || {
        let bank = bank.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = bank.deposits - bank.balance;
        if lost == 0 { Ok(()) } else { Err(format!("{lost} of {} deposits are lost", bank.deposits).into()) }
    }
}

/// Reads the balance and writes it back, one more.
async fn deposit(client: &Client, guard: &LockGuard, bank: &Shared, fenced: bool) {
    let (token, owner) = (guard.fencing_token(), guard.owner());
    let admit = move |bank: &Bank| !fenced || bank.gate.admit(token, owner).is_ok();
    let at_the_bank = bank.clone();
    let read = client.at_resource(move || {
        let bank = at_the_bank.lock().unwrap_or_else(PoisonError::into_inner);
        admit(&bank).then_some(bank.balance)
    });
    let Some(balance) = read.await else { return };
    if !guard.is_held() {
        return;
    }
    // A pause here, and the lock is another's when the write arrives.
    let at_the_bank = bank.clone();
    let write = client.at_resource(move || {
        let mut bank = at_the_bank.lock().unwrap_or_else(PoisonError::into_inner);
        if admit(&bank) {
            bank.balance = balance + 1;
            bank.deposits += 1;
        }
    });
    write.await;
}

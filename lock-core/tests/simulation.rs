//! lock-core in the simulation: every fault, from 10,000 seeds. See docs/simulation.md.
//! (A million: `cargo xtask simulate --seeds 1000000`.)

use lock_core::simulation::trial;

/// How many seeds each test tries. Several tests, so that they run side by side.
const SEEDS: u64 = 2_500;

fn no_invariant_is_broken_by_seeds_from(first: u64) {
    let (mut events, mut grants) = (0, 0);
    for seed in first..first + SEEDS {
        let passed =
            trial(seed).unwrap_or_else(|failure| panic!("after {} seeds that passed:\n{failure}", seed - first));
        events += passed.events;
        grants += passed.grants;
    }
    println!("{SEEDS} seeds: {events} events, {grants} locks granted");
    assert!(grants > 10 * usize::try_from(SEEDS).unwrap(), "trials in which nothing is granted prove nothing");
}

#[test]
fn seeds_from_0_break_no_invariant() {
    no_invariant_is_broken_by_seeds_from(0);
}

#[test]
fn seeds_from_2_500_break_no_invariant() {
    no_invariant_is_broken_by_seeds_from(2_500);
}

#[test]
fn seeds_from_5_000_break_no_invariant() {
    no_invariant_is_broken_by_seeds_from(5_000);
}

#[test]
fn seeds_from_7_500_break_no_invariant() {
    no_invariant_is_broken_by_seeds_from(7_500);
}

/// A request that came late left an orphan, and then the store's clock was set back.
#[test]
fn a_clock_that_is_set_back_prolongs_leases() {
    trial(13_261).unwrap_or_else(|failure| panic!("{failure}"));
}

/// A holder was stopped, and then wrote for so long that its lease ended meanwhile: it listened for the loss afterwards.
#[test]
fn a_loss_is_told_to_who_listens() {
    trial(48_466).unwrap_or_else(|failure| panic!("{failure}"));
}

/// A renewal came after the last look, so that the lock was promised for longer than that had said, until its `max_hold`.
#[test]
fn a_loss_is_told_by_what_is_promised_then() {
    trial(29_393).unwrap_or_else(|failure| panic!("{failure}"));
}

/// A release arrived twice: once at a store that was down, and refused it; and again when that was up.
#[test]
fn a_refusal_promises_nothing_of_a_second_arrival() {
    trial(99_107).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_seed_makes_the_same_history_bit_by_bit() {
    let run = |seed| trial(seed).unwrap().fingerprint;
    let first: Vec<u64> = (0..100).map(run).collect();
    // In another thread, with other random numbers before it, and in another order.
    let again = std::thread::spawn(move || {
        fastrand::u64(..);
        let mut again: Vec<u64> = (0..100).rev().map(run).collect();
        again.reverse();
        again
    });
    assert_eq!(first, again.join().unwrap());
    let mut different = first.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), first.len(), "another seed makes another history");
}

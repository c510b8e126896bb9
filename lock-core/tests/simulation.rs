//! lock-core in the simulation: every fault, from many seeds. See docs/simulation.md.

use lock_core::simulation::trial;

/// How many seeds are tried. (A million: `cargo xtask simulate --seeds 1000000`.)
const SEEDS: u64 = 10_000;

#[test]
fn ten_thousand_seeds_break_no_invariant() {
    let (mut events, mut grants) = (0, 0);
    for seed in 0..SEEDS {
        let passed = trial(seed).unwrap_or_else(|failure| panic!("after {seed} seeds that passed:\n{failure}"));
        events += passed.events;
        grants += passed.grants;
    }
    println!("{SEEDS} seeds: {events} events, {grants} locks granted");
    assert!(grants > 10 * usize::try_from(SEEDS).unwrap(), "trials in which nothing is granted prove nothing");
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

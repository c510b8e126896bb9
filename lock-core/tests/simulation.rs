//! lock-core in the simulation: every fault, from many seeds.

use lock_core::simulation::trial;

#[test]
fn trials_of_many_seeds_break_no_invariant() {
    let from: u64 = std::env::var("FROM").map_or(0, |text| text.parse().unwrap());
    let seeds: u64 = std::env::var("SEEDS").map_or(200, |text| text.parse().unwrap());
    let began = std::time::Instant::now();
    let (mut events, mut grants, mut bad) = (0, 0, 0);
    for seed in from..from + seeds {
        if std::env::var("TRACE").is_ok() { eprintln!("{seed}"); }
        match trial(seed) {
            Ok(passed) => {
                events += passed.events;
                grants += passed.grants;
            }
            Err(failure) => {
                if std::env::var("LOG").is_ok() {
                    failure.log().for_each(|line| println!("{line}"));
                }
                println!("{failure}");
                bad += 1;
            }
        }
    }
    println!("{bad} bad of {seeds} seeds, {events} events, {grants} grants, {:?}", began.elapsed());
}

//! The file scheme, exhaustively: as it is, and without each of its guards.

use std::time::Instant;

use distlock_model::file::{FileScheme, Guard, Limits};
use stateright::{Checker, HasDiscoveries, Model};

const ONE: &str = "at most one believes that it holds the lock";
const TRUTH: &str = "what one believes is what the directory says";
const STAYS: &str = "the highest generation stays";
const ONCE: &str = "no number is granted twice";
const RISE: &str = "tokens rise";
const REVIVED: &str = "a record with a successor isn't renewed";
const RELEASED: &str = "what was taken is not released";
const LOOKS: &str = "who looks is no holder";
const NO_CRASH: &str = "a release is no crash";
const ONE_BREAK: &str = "a break hits one holder";
const AT_ONCE: &str = "who is left alone is granted a lock that nobody holds, at once";

/// How much may happen: acquires, ticks of the clock, crashes, breaks, failed sweeps, lost replies.
fn limits(of: [u8; 6]) -> Limits {
    let [acquires, ticks, crashes, breaks, failures, asks] = of;
    Limits { acquires, ticks, crashes, breaks, failures, asks }
}

/// Visits every state within the limits; none breaks a rule.
fn holds(processes: u8, of: [u8; 6], alone: bool) {
    let began = Instant::now();
    let model = FileScheme { removed: None, processes, limits: limits(of), alone };
    let checker = model.checker().threads(2).spawn_bfs().join();
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    println!("{processes} processes, {of:?}: {states} states, {steps} steps, {:.1?}", began.elapsed());
    for (name, path) in checker.discoveries() {
        let is_counter = checker.discovery_classification(name).to_string() == "counterexample";
        for (state, action) in path.into_vec().iter().filter(|_| is_counter) {
            println!("{state}{action:?}");
        }
        assert!(!is_counter, "{name}: the run stands above");
    }
    assert!(checker.is_done());
}

/// Without `guard`, some run within the limits breaks `rule`.
fn breaks(guard: Guard, of: [u8; 6], rule: &'static str) {
    let checker = search(guard, of, rule);
    assert!(checker, "without {guard:?} nothing breaks \"{rule}\"");
}

fn search(guard: Guard, of: [u8; 6], rule: &'static str) -> bool {
    let began = Instant::now();
    let model = FileScheme { removed: Some(guard), processes: 3, limits: limits(of), alone: rule == AT_ONCE };
    let found = HasDiscoveries::AnyOf([rule].into());
    let checker = model.checker().threads(2).finish_when(found).spawn_bfs().join();
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    println!("without {guard:?}: {states} states, {steps} steps, {:.1?}", began.elapsed());
    checker.discovery(rule).is_some()
}

mod no_rule_breaks {
    use super::holds;

    #[test]
    fn with_expiry_a_crash_and_a_lost_reply() {
        holds(3, [3, 2, 1, 0, 0, 1], false);
    }

    #[test]
    fn with_a_break() {
        holds(3, [2, 2, 1, 1, 0, 0], false);
    }

    #[test]
    fn with_many_generations_and_a_crash() {
        holds(3, [5, 0, 1, 0, 0, 0], false);
    }

    #[test]
    fn with_a_failed_sweep() {
        holds(3, [4, 0, 1, 0, 1, 0], false);
    }

    #[test]
    fn of_two_processes_with_everything() {
        holds(2, [3, 2, 1, 1, 0, 1], true);
    }

    #[test]
    fn and_nobody_who_stands_still_is_in_the_way() {
        holds(3, [3, 1, 1, 0, 0, 0], true);
    }
}

macro_rules! guards {
    ($($name:ident: $guard:ident $limits:expr, $rule:expr;)*) => {
        mod without_this_a_rule_breaks {
            use super::*;
            $(#[test]
            fn $name() {
                breaks(Guard::$guard, $limits, $rule);
            })*
        }
    };
}

guards! {
    listing_after_publishing: ListAfterPublish [5, 0, 1, 0, 0, 0], ONE;
    listing_after_the_first: ListAfterFirst [4, 2, 0, 0, 0, 0], ONE;
    leaving_what_is_late: LateIsLeft [3, 2, 0, 0, 0, 0], STAYS;
    publishing_replaces_nothing: PublishDoesNotReplace [2, 0, 0, 0, 0, 0], ONE;
    a_token_above_the_last: TokenAboveTheLast [2, 0, 0, 0, 0, 0], RISE;
    sweeping_in_ascending_order: SweepAscends [3, 2, 1, 1, 0, 0], REVIVED;
    the_clock_before_the_record: ClockBeforeRecord [2, 2, 0, 0, 0, 0], ONE;
    a_probe_of_the_kernel_lock: KernelLockIsProbed [2, 1, 1, 0, 0, 0], AT_ONCE;
    a_shared_probe: ProbeIsShared [3, 1, 1, 0, 0, 0], LOOKS;
    reading_again_after_the_probe: ReadAgainAfterProbe [2, 1, 1, 0, 0, 0], NO_CRASH;
    looking_for_a_successor_when_renewing: RenewLooksForSuccessor [2, 2, 0, 1, 0, 0], REVIVED;
    looking_for_itself_when_renewing: RenewLooksForItself [3, 2, 0, 1, 0, 0], REVIVED;
    the_old_deadline: RenewBeforeOldDeadline [2, 2, 0, 0, 0, 1], ONE;
    looking_before_a_release: ReleaseLooks [2, 2, 0, 0, 0, 0], RELEASED;
    releasing_its_own_file: ReleaseWritesItsOwn [2, 2, 0, 0, 0, 0], TRUTH;
    leaving_a_released_record: ReleasedStays [2, 0, 0, 0, 0, 0], STAYS;
    taking_forward_only_what_was_swept: ForwardOnlyIfSwept [4, 1, 1, 0, 1, 0], ONCE;
    a_break_that_is_held_at_first: BreakIsHeldUntilLookedAt [2, 1, 0, 1, 0, 0], ONE_BREAK;
    a_break_that_ends: BreakEndsWhenOver [3, 2, 0, 1, 0, 0], ONE_BREAK;
    a_belief_from_the_sending: BeliefFromSending [2, 2, 0, 0, 0, 0], ONE;
}

/// These guard against what the model doesn't have: files deleted by hand, a listing that misses a name. Should one of
/// them begin to matter in the model, it belongs above.
#[test]
fn two_guards_are_for_what_the_model_has_not() {
    for guard in [Guard::LookAfterPublish, Guard::LookAfterForward] {
        for rule in [ONE, ONCE] {
            assert!(!search(guard, [4, 1, 1, 0, 0, 0], rule), "{guard:?}");
        }
    }
}

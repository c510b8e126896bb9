//! The protocol of acquiring, renewing, releasing and giving up, exhaustively: as it is, and with each guard removed.

use std::time::Instant;

use distlock_model::release::{Guard, ReleaseProtocol};
use stateright::{Checker, HasDiscoveries, Model};

const ONE: &str = "at most one believes that it holds the lock";
const TRUTH: &str = "who believes has the lease at the store, with its token and for as long";
const DONE: &str = "whoever is done has nothing at the store, unless a message was lost or late";

#[test]
fn no_rule_breaks() {
    let began = Instant::now();
    // A message that is never delivered is a lost one, so none needs to be lost besides.
    let model = ReleaseProtocol { removed: None, losses: 0, acquisitions: 1 };
    let checker = model.checker().threads(2).spawn_bfs().join();
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    println!("{states} states, {steps} steps, {:.1?}", began.elapsed());
    for (name, path) in checker.discoveries() {
        let is_counter = checker.discovery_classification(name).to_string() == "counterexample";
        assert!(!is_counter, "{name}: {path}");
    }
    assert!(checker.discovery("an abandoned acquire is applied after its clean-up").is_some(), "the model has delays");
}

/// Without `guard`, some run breaks `rule`.
fn breaks(guard: Guard, rule: &'static str) {
    assert!(search(guard, rule), "without {guard:?} nothing breaks \"{rule}\"");
}

fn search(guard: Guard, rule: &'static str) -> bool {
    let model = ReleaseProtocol { removed: Some(guard), losses: 1, acquisitions: 1 };
    let found = HasDiscoveries::AnyOf([rule].into());
    let checker = model.checker().threads(2).finish_when(found).spawn_bfs().join();
    println!("without {guard:?}: {} states, {} steps", checker.unique_state_count(), checker.state_count());
    checker.discovery(rule).is_some()
}

macro_rules! guards {
    ($($name:ident: $guard:ident, $rule:expr;)*) => {
        mod without_this_a_rule_breaks {
            use super::*;
            $(#[test]
            fn $name() {
                breaks(Guard::$guard, $rule);
            })*
        }
    };
}

guards! {
    a_belief_from_the_sending: BeliefFromSending, ONE;
    ignoring_late_replies: LateReplyIgnored, TRUTH;
    a_clean_up_of_what_is_given_up: CleanUp, DONE;
    releasing_again: ReleaseAgain, DONE;
    no_renewal_after_the_release: NoRenewalAfterRelease, "no renewal is sent after the release";
    one_owner_for_all_tries: OneOwner, "nobody is refused because of itself";
    the_same_token_again: SameToken, "the same owner has the same token";
    a_release_by_owner: ReleaseComparesOwner, TRUTH;
    a_renewal_by_owner: RenewComparesOwner, "a renewal extends its owner's lease alone";
}

//! The protocol of acquiring, renewing, releasing and giving up, exhaustively: as it is, and with each guard removed.

use std::time::Instant;

use distlock_model::release::{Guard, ReleaseProtocol};
use stateright::{Checker, HasDiscoveries, Model};

const ONE: &str = "at most one believes that it holds the lock";
const TRUTH: &str = "who believes has the lease at the store, with its token and for as long";
const DONE: &str = "whoever is done has nothing at the store, unless a message was lost or late";
const ORPHAN: &str = "a lease lives for one TTL after its owner's last request, whoever has gone";

/// A message that is never delivered is a lost one, so none needs to be lost besides.
const WHOLE: ReleaseProtocol =
    ReleaseProtocol { removed: None, losses: 0, acquisitions: [1, 1, 0], tries: 2, messages: 3, crashes: 1 };

fn no_rule_breaks(model: ReleaseProtocol) {
    let began = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    println!("{model:?}: {states} states, {steps} steps, {:.1?}", began.elapsed());
    for (name, path) in checker.discoveries() {
        let is_counter = checker.discovery_classification(name).to_string() == "counterexample";
        assert!(!is_counter, "{name}: {path}");
    }
    for shown in [
        "an abandoned acquire is applied after its clean-up",
        "an orphan is at the store, of which nobody knows any more",
    ] {
        assert!(checker.discovery(shown).is_some(), "the model has delays and crashes: {shown}");
    }
}

#[test]
fn no_rule_breaks_with_three_processes_one_of_which_is_killed() {
    no_rule_breaks(ReleaseProtocol { acquisitions: [2, 1, 1], tries: 1, messages: 2, ..WHOLE });
}

#[test]
fn no_rule_breaks_with_two_that_ask_again() {
    no_rule_breaks(ReleaseProtocol { acquisitions: [2, 1, 0], messages: 2, ..WHOLE });
}

#[test]
fn no_rule_breaks_with_two_that_ask_again_and_more_under_way() {
    no_rule_breaks(WHOLE);
}

/// Without `guard`, some run breaks `rule`.
fn breaks(guard: Guard, rule: &'static str) {
    let model = ReleaseProtocol { removed: Some(guard), losses: 1, crashes: 0, ..WHOLE };
    let found = HasDiscoveries::AnyOf([rule].into());
    let checker = model.checker().threads(2).finish_when(found).spawn_bfs().join();
    println!("without {guard:?}: {} states, {} steps", checker.unique_state_count(), checker.state_count());
    assert!(checker.discovery(rule).is_some(), "without {guard:?} nothing breaks \"{rule}\"");
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
    a_renewal_by_owner_once_more: RenewComparesOwner, ORPHAN;
}

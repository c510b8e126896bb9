//! The conformance kit can fail: each of these stores has one fault, and the kit finds it.
//!
//! A case that no fault makes fail proves nothing, so every case has at least one here.

mod fault;
mod faulty;
mod faulty_admin;
mod places;

use std::time::Duration;

use lock_core::conformance::{CASES, Case, Client, Harness, HarnessError, run_case};
use tokio::task::JoinSet;

use crate::fault::Fault;
use crate::faulty::{Faulty, World};

struct FaultyStore(Fault, World);

impl FaultyStore {
    fn new(fault: Fault) -> Self {
        Self(fault, World::default())
    }
}

#[lock_core::async_trait]
impl Harness for FaultyStore {
    async fn client(&self) -> Result<Client, HarnessError> {
        Ok(Client::of(Faulty::new(self.0, self.1.clone())))
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(200)
    }
}

// The wrapper itself breaks no rule, so whatever the kit finds below is the fault.
lock_core::conformance!(without_a_fault: || std::future::ready(Ok::<_, HarnessError>(FaultyStore::new(Fault::None))));

/// One test for each fault, and the list of the cases that find one.
macro_rules! faults {
    ($($name:ident: $fault:ident is found by $($case:ident)+;)*) => {
        const CAUGHT: &[&str] = &[$($(stringify!($case),)+)*];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                caught(Fault::$fault, &[$(stringify!($case)),+]).await;
            }
        )*
    };
}

/// Runs the cases, all at once for time's sake, and expects each to fail for a reason of its own.
async fn caught(fault: Fault, cases: &'static [&'static str]) {
    let mut runs = JoinSet::new();
    for case in cases {
        runs.spawn(async move { (case, run_case(case, &FaultyStore::new(fault)).await) });
    }
    while let Some(end) = runs.join_next().await {
        let (case, outcome) = end.unwrap();
        let failure = outcome.expect_err(&format!("{case} doesn't find the fault {fault:?}"));
        println!("{fault:?}: {failure}");
        assert_eq!(failure.case().name(), *case);
        for no_proof in ["raise Harness::ttl", "some call hangs", "can't clean up", "can't connect"] {
            assert!(!failure.seen().contains(no_proof), "found by accident: {failure}");
        }
    }
}

faults! {
    everyone_is_granted: EveryoneIsGranted is found by two_clients_exclude_each_other;
    looks_before_it_takes: LooksBeforeItTakes is found by
        one_of_many_owners_is_granted no_update_is_lost_under_load;
    wait_blocks_the_client: WaitBlocksTheClient is found by keys_are_independent;
    asking_again_is_refused: AskingAgainIsRefused is found by
        same_owner_gets_the_same_token same_owner_at_once_gets_one_token dropped_acquire_can_be_asked_again;
    asking_again_gives_a_new_token: AskingAgainGivesANewToken is found by
        same_owner_gets_the_same_token same_owner_at_once_gets_one_token dropped_acquire_can_be_asked_again;
    asking_again_refreshes_nothing: AskingAgainRefreshesNothing is found by asking_again_refreshes_the_lease;
    tries_leave_a_place: TriesLeaveAPlace is found by held_attempt_leaves_nothing_behind;
    held_tells_nothing: HeldTellsNothing is found by held_tells_the_holder;

    release_does_nothing: ReleaseDoesNothing is found by release_frees_the_lock two_clients_exclude_each_other;
    release_ignores_the_owner: ReleaseIgnoresTheOwner is found by
        release_by_another_owner_touches_nothing release_after_takeover_spares_the_successor release_again_is_not_held;
    release_takes_anothers_silently: ReleaseTakesAnothersSilently is found by
        release_by_another_owner_touches_nothing release_after_takeover_spares_the_successor release_again_is_not_held;
    release_always_says_released: ReleaseAlwaysSaysReleased is found by
        release_again_is_not_held release_of_nothing_is_not_held;
    release_keeps_the_place: ReleaseKeepsThePlace is found by
        release_withdraws_a_waiting_place dropped_wait_leaves_nothing_behind;
    release_spares_what_was_not_answered: ReleaseSparesWhatWasNotAnswered is found by
        release_undoes_a_dropped_acquire;

    token_is_constant: TokenIsConstant is found by
        tokens_rise_over_release tokens_rise_over_takeover tokens_rise_over_break tokens_rise_under_load;
    token_starts_anew_with_each_client: TokenStartsAnewWithEachClient is found by
        tokens_rise_for_a_new_client tokens_rise_over_release;

    grant_tells_a_shorter_ttl: GrantTellsAShorterTtl is found by granted_ttl_is_told ttl_is_rounded_up;
    longest_ttl_is_refused: LongestTtlIsRefused is found by shortest_and_longest_ttl_are_granted;
    range_is_not_checked: RangeIsNotChecked is found by
        ttl_below_the_range_is_refused ttl_above_the_range_is_refused;
    range_is_not_told: RangeIsNotTold is found by ttl_below_the_range_is_refused ttl_above_the_range_is_refused;
    leases_end_early: LeasesEndEarly is found by lease_never_ends_early renewal_extends_the_lease;
    leases_never_end: LeasesNeverEnd is found by
        abandoned_lease_ends_in_time wait_returns_after_expiry expired_locks_are_not_listed;

    renewal_does_nothing: RenewalDoesNothing is found by renewal_extends_the_lease renewal_restarts_the_whole_ttl;
    renewal_tells_a_shorter_ttl: RenewalTellsAShorterTtl is found by renewal_tells_its_ttl;
    renewal_revives: RenewalRevives is found by
        renewal_of_nothing_is_lost renewal_after_release_is_lost renewal_after_break_is_lost;
    renewal_revives_silently: RenewalRevivesSilently is found by
        renewal_of_nothing_is_lost renewal_after_release_is_lost renewal_after_break_is_lost;
    renewal_takes_anothers_silently: RenewalTakesAnothersSilently is found by
        renewal_by_another_owner_is_lost renewal_after_takeover_is_lost renewal_after_release_is_lost;
    renewal_ignores_the_owner: RenewalIgnoresTheOwner is found by
        renewal_by_another_owner_is_lost renewal_after_takeover_is_lost;
    renewal_always_succeeds: RenewalAlwaysSucceeds is found by
        renewal_after_expiry_is_lost_or_exclusive renewal_after_takeover_is_lost break_takes_the_lock_away;
    renewal_errs_when_lost: RenewalErrsWhenLost is found by
        renewal_after_takeover_is_lost renewal_after_expiry_is_lost_or_exclusive;

    wait_never_returns: WaitNeverReturns is found by
        wait_returns_after_release wait_returns_after_expiry wait_returns_after_break;
    wait_misses_earlier_news: WaitMissesEarlierNews is found by wait_returns_when_the_release_came_first;
    wait_returns_at_once: WaitReturnsAtOnce is found by wait_is_no_hot_loop;
    one_waiter_is_forgotten: OneWaiterIsForgotten is found by every_waiter_is_served;
    vanished_waiters_stay: VanishedWaitersStay is found by vanished_waiter_blocks_nobody_for_long;
    last_come_first_served: LastComeFirstServed is found by waiters_are_served_in_order;
    newcomers_overtake: NewcomersOvertake is found by newcomers_do_not_overtake;
    interrupted_waiters_go_to_the_end: InterruptedWaitersGoToTheEnd is found by interrupted_waiter_keeps_its_place;

    keys_lose_their_case: KeysLoseTheirCase is found by keys_differing_in_case_are_distinct;
    keys_end_at_a_separator: KeysEndAtASeparator is found by keys_of_one_family_are_independent;
    keys_are_trimmed: KeysAreTrimmed is found by strange_keys_stay_distinct;
    keys_are_decoded: KeysAreDecoded is found by keys_that_look_encoded_are_distinct;
    keys_are_cut: KeysAreCut is found by longest_keys_are_distinct;

    inspect_tells_old_news: InspectTellsOldNews is found by
        inspect_of_a_free_lock_is_none expired_locks_are_not_listed;
    inspect_tells_nothing: InspectTellsNothing is found by inspect_tells_the_holder;
    list_is_unsorted: ListIsUnsorted is found by list_is_sorted_and_complete;
    list_takes_any_place: ListTakesAnyPlace is found by list_takes_the_prefix_literally;
    break_does_nothing: BreakDoesNothing is found by
        break_takes_the_lock_away wait_returns_after_break renewal_after_break_is_lost;
    break_ignores_the_token: BreakIgnoresTheToken is found by break_by_token_spares_another_holder;
    break_takes_another_silently: BreakTakesAnotherSilently is found by break_by_token_spares_another_holder;
    break_of_a_free_lock_says_broken: BreakOfAFreeLockSaysBroken is found by break_of_a_free_lock_is_free;
    preflight_says_unusable: PreflightSaysUnusable is found by preflight_is_usable;
    capabilities_make_no_sense: CapabilitiesMakeNoSense is found by capabilities_are_sane;
}

#[test]
fn every_case_can_fail() {
    let idle: Vec<_> = CASES.iter().map(Case::name).filter(|name| !CAUGHT.contains(name)).collect();
    assert!(idle.is_empty(), "no fault makes these cases fail: {idle:?}");
}

#[test]
#[should_panic(expected = "the harness can't start: connection refused")]
fn a_missing_server_fails_the_test() {
    lock_core::conformance::run::<FaultyStore, HarnessError, _>("release_frees_the_lock", async || {
        Err("connection refused".into())
    });
}

#[test]
#[should_panic(expected = "rule 2: release is idempotent")]
fn a_failed_test_names_the_rule() {
    let store = FaultyStore::new(Fault::ReleaseDoesNothing);
    lock_core::conformance::run("release_frees_the_lock", async || Ok::<_, HarnessError>(store));
}

//! The list of cases: the one place that names them. Tests, table and applicability all come from it.

use std::pin::Pin;

use super::kit::{Kit, Trouble};
use super::{Client, Rule, admin, exclusion, keys, leases, release, tokens, waiting};
use crate::{Fairness, Ttl};

/// One case: what is tested, and for which rule's sake.
#[derive(Debug)]
pub struct Case {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
    pub(super) description: &'static str,
    pub(super) needs: Needs,
    pub(super) body: for<'a> fn(&'a Kit<'a>) -> Body<'a>,
}

pub(super) type Body<'a> = Pin<Box<dyn Future<Output = Result<(), Trouble>> + Send + 'a>>;

/// What a store must have for a case to make sense.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needs {
    Nothing,
    Admin,
    Queue,
    Floor,
    Ceiling,
    Granularity,
}

impl Case {
    /// The name, which is also that of the generated test.
    pub fn name(&self) -> &'static str {
        self.name
    }
    /// The rule that it checks.
    pub fn rule(&self) -> Rule {
        self.rule
    }
    /// What it expects, in a sentence.
    pub fn description(&self) -> &'static str {
        self.description
    }
}

impl Needs {
    /// Why a store can't be put to the test, judged by what it declares.
    pub(super) fn missing(self, client: &Client) -> Option<&'static str> {
        let capabilities = client.backend().capabilities();
        let (met, why) = match self {
            Self::Nothing => (true, ""),
            Self::Admin => (client.admin().is_some(), "the client has no LockAdmin"),
            Self::Queue => (capabilities.fairness() == Fairness::Queue, "the store declares no Fairness::Queue"),
            Self::Floor => (capabilities.min_ttl() > Ttl::MIN, "the store grants every TTL down to the shortest"),
            Self::Ceiling => (capabilities.max_ttl() < Ttl::MAX, "the store grants every TTL up to the longest"),
            Self::Granularity => (capabilities.granularity() > Ttl::MIN, "the store grants TTLs to the millisecond"),
        };
        (!met).then_some(why)
    }
}

/// Calls the macro `$callback` with `$args` and the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($callback:ident $args:tt) => {
        $crate::$callback! { $args
            exclusion two_clients_exclude_each_other Exclusion Nothing
                "while one client holds a lock, nobody else is granted it; after the release, the next is";
            exclusion one_of_many_owners_is_granted Exclusion Nothing
                "of many owners that try at the same moment, exactly one is granted the lock";
            exclusion no_update_is_lost_under_load Exclusion Nothing
                "many tasks that each read, wait and write a counter under the lock lose no update";
            exclusion keys_are_independent Exclusion Nothing
                "waiting for one key keeps nobody from another";
            exclusion same_owner_gets_the_same_token Idempotence Nothing
                "the holder that asks again is granted the lock again, with the same token";
            exclusion same_owner_at_once_gets_one_token Idempotence Nothing
                "tries of one owner that run at the same time are all granted, with one token";
            exclusion asking_again_refreshes_the_lease Idempotence Nothing
                "a holder that asks again has a whole TTL again";
            exclusion dropped_acquire_can_be_asked_again Idempotence Nothing
                "after a try whose reply was lost, the same owner is granted the lock, with a token that stays";
            exclusion held_attempt_leaves_nothing_behind Idempotence Nothing
                "tries that found the lock held keep nobody from it later";
            exclusion held_tells_the_holder Idempotence Nothing
                "who finds a lock held is told the holder's token, owner, host, pid, program, label and TTL";

            release release_frees_the_lock Release Nothing
                "after its release a lock is free for anybody";
            release release_again_is_not_held Release Nothing
                "a second release says NotHeld, and touches nobody";
            release release_of_nothing_is_not_held Release Nothing
                "a release before anything was acquired says NotHeld";
            release release_by_another_owner_touches_nothing Release Nothing
                "the release of an owner that doesn't hold the lock leaves the holder in place";
            release release_after_takeover_spares_the_successor Release Nothing
                "the late release of a holder that expired leaves its successor in place";
            release release_withdraws_a_waiting_place Release Nothing
                "after the release of a waiter that gave up, a newcomer gets the lock";
            release release_undoes_a_dropped_acquire Release Nothing
                "a release after a try whose reply was lost frees the lock, at worst after one TTL";

            tokens tokens_rise_over_release Tokens Nothing
                "tokens rise over release and acquire, whichever client acquires";
            tokens tokens_rise_over_takeover Tokens Nothing
                "the token of a takeover by expiry is greater";
            tokens tokens_rise_over_break Tokens Admin
                "the token after a lock was broken is greater";
            tokens tokens_rise_under_load Tokens Nothing
                "tokens rise in the order of the grants when many tasks compete";
            tokens tokens_rise_for_a_new_client Tokens Nothing
                "a client that connects later continues the tokens of those before";

            leases granted_ttl_is_told Ttl Nothing
                "the TTL granted is told, and not shorter than the one asked for";
            leases shortest_and_longest_ttl_are_granted Ttl Nothing
                "the ends of the declared range are granted";
            leases ttl_below_the_range_is_refused Ttl Floor
                "a TTL below the range is an error that names the range, and nothing is held";
            leases ttl_above_the_range_is_refused Ttl Ceiling
                "a TTL above the range is an error that names the range, and nothing is held";
            leases ttl_is_rounded_up Ttl Granularity
                "a TTL between two units is rounded up";
            leases renewal_extends_the_lease Renewal Nothing
                "a lease that is renewed in time outlives its first TTL, and keeps a waiter out";
            leases renewal_restarts_the_whole_ttl Renewal Nothing
                "after a renewal the lease lives a whole TTL from then on";
            leases renewal_tells_its_ttl Renewal Nothing
                "the TTL renewed is told, and not shorter than the one asked for";
            leases renewal_of_nothing_is_lost Renewal Nothing
                "the renewal of a lease that never was says Lost, and acquires nothing";
            leases renewal_by_another_owner_is_lost Renewal Nothing
                "the renewal by an owner that doesn't hold the lock says Lost, and leaves the holder in place";
            leases renewal_after_release_is_lost Renewal Nothing
                "the renewal after a release says Lost, and brings nothing back";
            leases renewal_after_takeover_is_lost Renewal Nothing
                "the renewal of a holder that expired says Lost, and leaves its successor in place";
            leases renewal_after_break_is_lost Renewal Admin
                "the renewal of a lock that was broken says Lost, and brings nothing back";
            leases renewal_after_expiry_is_lost_or_exclusive Renewal Nothing
                "the renewal of a lease that expired, and that nobody took, says Lost or really holds the lock again";
            leases lease_never_ends_early Expiry Nothing
                "nobody is granted a lock before its holder's TTL is over, counted from before its request";
            leases abandoned_lease_ends_in_time Expiry Nothing
                "a lock whose holder vanished is granted to another after the TTL and the tolerance";

            waiting wait_returns_after_release Waiting Nothing
                "a waiter is told of the release, and is granted the lock";
            waiting wait_returns_after_expiry Waiting Nothing
                "a waiter is granted the lock of a holder that vanished";
            waiting wait_returns_after_break Waiting Admin
                "a waiter is granted a lock that was broken";
            waiting wait_returns_when_the_release_came_first Waiting Nothing
                "a wait that begins after the release, and knows nothing of it, returns";
            waiting wait_is_no_hot_loop Waiting Nothing
                "while the lock is held, waiting costs few tries";
            waiting every_waiter_is_served Waiting Nothing
                "of several waiters each gets the lock in the end";
            waiting dropped_wait_leaves_nothing_behind Waiting Nothing
                "after a waiter gave up and released, the next one gets the lock";
            waiting vanished_waiter_blocks_nobody_for_long Waiting Nothing
                "a waiter that vanished without a release delays the next by one TTL at most";
            waiting waiters_are_served_in_order Waiting Queue
                "waiters of several clients are served in the order in which they began to wait";
            waiting newcomers_do_not_overtake Waiting Queue
                "a try at the moment of the release is refused while someone waits";
            waiting interrupted_waiter_keeps_its_place Waiting Queue
                "a waiter that begins to wait anew again and again keeps its place";

            keys strange_keys_stay_distinct Keys Nothing
                "NUL, newlines, separators, wildcards, dots and escapes: each is a key of its own";
            keys keys_of_one_family_are_independent Keys Nothing
                "a, a/b, a/b/c, a:fence and the like are locks of their own";
            keys keys_differing_in_case_are_distinct Keys Nothing
                "upper and lower case are different keys";
            keys keys_that_look_encoded_are_distinct Keys Nothing
                "a key that looks like the encoding of another is a key of its own";
            keys longest_keys_are_distinct Keys Nothing
                "keys of 1024 bytes that differ at either end are different keys";

            admin inspect_of_a_free_lock_is_none Admin Admin
                "a lock that was never held, or is released, is told to be free";
            admin inspect_tells_the_holder Admin Admin
                "another client is told the whole record of the holder";
            admin list_is_sorted_and_complete Admin Admin
                "the list has every lock held, in the keys' order";
            admin list_takes_the_prefix_literally Admin Admin
                "the list for a prefix has the keys that begin with it, byte for byte";
            admin expired_locks_are_not_listed Admin Admin
                "a lock whose lease is over is neither listed nor told to be held";
            admin break_takes_the_lock_away Admin Admin
                "a broken lock is free, and its holder's renewal says Lost";
            admin break_by_token_spares_another_holder Admin Admin
                "breaking by a token that differs changes nothing, and tells who holds the lock";
            admin break_of_a_free_lock_is_free Admin Admin
                "breaking a lock that nobody holds says Free";
            admin preflight_is_usable Admin Admin
                "the preflight of the harness' store finds nothing that makes it unusable";

            admin capabilities_are_sane Capabilities Nothing
                "the capabilities have a name, a range that isn't empty, and are the same for each client";
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    ([] $($module:ident $name:ident $rule:ident $needs:ident $description:literal;)*) => {
        /// Every case of the kit.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            rule: Rule::$rule,
            description: $description,
            needs: Needs::$needs,
            body: |kit| Box::pin($module::$name(kit)),
        },)*];
    };
}

__conformance_cases! { __conformance_table [] }

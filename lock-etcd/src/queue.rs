//! The requests about a queue, and what their answers mean. Each can be repeated.

use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, KeyValue, PutOptions, ResponseHeader, SortOrder, SortTarget, Txn,
    TxnOp, TxnOpResponse, TxnResponse,
};

use crate::names::{Place, Queue};
use crate::value::{self, Arrival};

/// What a look at a queue showed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The owner's own key.
    pub(crate) own: Option<KeyValue>,
    /// The lowest create revision: who holds the lock.
    pub(crate) first: Option<KeyValue>,
    /// How many keys are in the queue, the holder's included.
    pub(crate) count: i64,
}

impl Seen {
    /// Whether the owner's key is there, and the first of all.
    pub(crate) fn is_ours(&self) -> bool {
        matches!((&self.own, &self.first), (Some(own), Some(first)) if own.key() == first.key())
    }

    /// The create revision of the own key; zero when there is none.
    pub(crate) fn own_revision(&self) -> i64 {
        self.own.as_ref().map_or(0, KeyValue::create_revision)
    }

    pub(crate) fn waiters(&self) -> u64 {
        u64::try_from(self.count - 1).unwrap_or(0)
    }
}

/// How a try to take the lock ended.
pub(crate) enum Taken {
    /// Nobody was there. The create revision is the token.
    Now(i64),
    /// Somebody was: perhaps this owner, by an earlier request.
    Seen(Seen),
}

/// What came of asking for a place in the queue.
pub(crate) struct Joined {
    /// The create revision of the own key.
    pub(crate) revision: i64,
    /// Who came just before. Unknown where the place was there already.
    pub(crate) before: Before,
    /// Who holds the lock, and how many others wait. Nothing where the place was there already.
    pub(crate) seen: Seen,
}

pub(crate) enum Before {
    Nobody,
    One(Predecessor),
    Unknown,
}

/// The place just before the own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Predecessor {
    pub(crate) key: Vec<u8>,
    /// It stood in the queue itself, and so hands the lock over when it lets go ([`hand_over`]).
    pub(crate) hands_over: bool,
}

impl Predecessor {
    pub(crate) fn of(place: &KeyValue) -> Self {
        Self { key: place.key().to_vec(), hands_over: value::arrival(place) == Some(Arrival::Waits) }
    }
}

/// Takes the lock if the queue is empty, else looks at it. "The queue is empty" is compared over the whole range, so a
/// newcomer overtakes nobody and leaves nothing behind.
pub(crate) fn take(place: &Place, lease: i64, value: Vec<u8>) -> Txn {
    let empty = Compare::create_revision(place.queue.start(), CompareOp::Equal, 0).with_range(place.queue.end());
    Txn::new()
        .when([empty, has_not_withdrawn(place)])
        .and_then([put(place, lease, value)])
        .or_else([own(place, false), first(&place.queue)])
}

pub(crate) fn taken(response: &TxnResponse) -> Taken {
    if response.succeeded() {
        return Taken::Now(written(response));
    }
    Taken::Seen(seen(response))
}

/// Looks at the queue: the own key and the first, both at one revision. A linearizable read.
pub(crate) fn look(place: &Place) -> Txn {
    Txn::new().and_then([own(place, true), first(&place.queue)])
}

/// The same as one member has it. Its answer tells by its revision how much the member knows.
pub(crate) fn look_at_one_member(place: &Place) -> Txn {
    let own = GetOptions::new().with_keys_only().with_serializable();
    let first = first_options(&place.queue).with_serializable();
    Txn::new().and_then([TxnOp::get(place.key.clone(), Some(own)), TxnOp::get(place.queue.start(), Some(first))])
}

pub(crate) fn seen(response: &TxnResponse) -> Seen {
    let mut gets = gets(response);
    let own = gets.next().and_then(|get| get.kvs().first().cloned());
    Seen { own, ..first_of(gets.next()) }
}

/// Looks at the first of the queue alone.
pub(crate) fn look_at_first(queue: &Queue) -> Txn {
    Txn::new().and_then([first(queue)])
}

pub(crate) fn seen_first(response: &TxnResponse) -> Seen {
    first_of(gets(response).next())
}

fn first_of(first: Option<GetResponse>) -> Seen {
    let count = first.as_ref().map_or(0, GetResponse::count);
    Seen { own: None, first: first.and_then(|get| get.kvs().first().cloned()), count }
}

/// Joins the queue at its end, unless the owner is in it.
pub(crate) fn join(place: &Place, lease: i64, value: Vec<u8>) -> Txn {
    let last = TxnOp::get(
        place.queue.start(),
        Some(range(&place.queue).with_sort(SortTarget::Create, SortOrder::Descend).with_limit(1)),
    );
    Txn::new()
        .when([Compare::create_revision(place.key.clone(), CompareOp::Equal, 0), has_not_withdrawn(place)])
        // The looks come before the put: the last one then is who came before.
        .and_then([last, first(&place.queue), put(place, lease, value)])
        .or_else([own(place, true)])
}

/// `None` when the owner has given up.
pub(crate) fn joined(response: &TxnResponse) -> Option<Joined> {
    let mut gets = gets(response);
    let (before, seen, revision) = if response.succeeded() {
        let last = gets.next().and_then(|get| get.kvs().first().map(Predecessor::of));
        (last.map_or(Before::Nobody, Before::One), first_of(gets.next()), written(response))
    } else {
        (Before::Unknown, Seen::default(), gets.next().map_or(0, |own| created(&own)))
    };
    (revision > 0).then_some(Joined { revision, before, seen })
}

/// The revision that a transaction made, which wrote: so the create revision of a key that wasn't there before. The server's
/// own locks rely on it, too (its package concurrency, `Mutex`). In the answer to a read it is the store's, which others move.
fn written(response: &TxnResponse) -> i64 {
    response.header().map_or(0, ResponseHeader::revision)
}

/// The revision that created the key; zero when there is none.
fn created(get: &GetResponse) -> i64 {
    get.kvs().first().map_or(0, KeyValue::create_revision)
}

/// The range options that find who came just before the place with this create revision.
pub(crate) fn before_options(queue: &Queue, revision: i64) -> GetOptions {
    range(queue).with_max_create_revision(revision - 1).with_sort(SortTarget::Create, SortOrder::Descend).with_limit(1)
}

/// The own key and that of the one before, read at one revision.
pub(crate) fn both(own: &[u8], before: &[u8]) -> Txn {
    let get = |key: &[u8]| TxnOp::get(key, Some(GetOptions::new().with_keys_only()));
    Txn::new().and_then([get(own), get(before)])
}

/// Whether the own key is there, and whether the one before still is before. A key that was deleted and made again, with
/// a lease that serves a second time, stands behind.
pub(crate) fn stand(response: &TxnResponse) -> (bool, bool) {
    let mut revisions = gets(response).map(|get| created(&get));
    let (own, before) = (revisions.next().unwrap_or(0), revisions.next().unwrap_or(0));
    (own > 0, before > 0 && before < own)
}

/// Leaves the queue as the holder, by the revision that was granted: the key with it was the first then, and the first
/// stays the first. A request that was sent to a second endpoint as well may come late; by then the lease may serve another,
/// whose key has the same name, and another revision.
pub(crate) fn leave_as_holder(place: &Place, token: i64) -> Txn {
    Txn::new()
        .when([Compare::create_revision(place.key.clone(), CompareOp::Equal, token)])
        .and_then([TxnOp::delete(place.key.clone(), None)])
}

/// Leaves the queue from wherever the owner is in it.
pub(crate) fn leave(place: &Place) -> Txn {
    Txn::new().when([Compare::create_revision(place.key.clone(), CompareOp::Greater, 0)]).and_then([
        own(place, true),
        first(&place.queue),
        TxnOp::delete(place.key.clone(), None),
    ])
}

/// Writes down that the owner gave up, and takes its key away.
pub(crate) fn withdraw(place: &Place, lease: i64) -> Txn {
    Txn::new().and_then([
        TxnOp::delete(place.key.clone(), None),
        TxnOp::put(place.withdrawn(), "", Some(PutOptions::new().with_lease(lease))),
    ])
}

fn has_not_withdrawn(place: &Place) -> Compare {
    Compare::create_revision(place.withdrawn(), CompareOp::Equal, 0)
}

fn put(place: &Place, lease: i64, value: Vec<u8>) -> TxnOp {
    TxnOp::put(place.key.clone(), value, Some(PutOptions::new().with_lease(lease)))
}

fn own(place: &Place, keys_only: bool) -> TxnOp {
    let options = GetOptions::new();
    TxnOp::get(place.key.clone(), Some(if keys_only { options.with_keys_only() } else { options }))
}

fn first(queue: &Queue) -> TxnOp {
    TxnOp::get(queue.start(), Some(first_options(queue)))
}

/// The first of a queue: who holds the lock.
pub(crate) fn first_options(queue: &Queue) -> GetOptions {
    range(queue).with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(1)
}

pub(crate) fn range(queue: &Queue) -> GetOptions {
    GetOptions::new().with_range(queue.end())
}

fn gets(response: &TxnResponse) -> impl Iterator<Item = GetResponse> {
    response.op_responses().into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(get) => Some(get),
        _ => None,
    })
}

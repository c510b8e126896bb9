use lock_core::Operation;
use tokio::time::timeout;

use super::*;

fn watches() -> Watches {
    watches_at("http://127.0.0.1:1")
}

fn watches_at(agent: &str) -> Watches {
    let backend = crate::ConsulBackend::new(agent).unwrap();
    backend.shared.watches.clone()
}

fn listing(index: u64, keys: &[(&str, u64)]) -> Listing {
    let entry = |(key, at): &(&str, u64)| {
        serde_json::from_value(serde_json::json!({"Key": key, "CreateIndex": 1, "ModifyIndex": at})).unwrap()
    };
    Listing { entries: keys.iter().map(entry).collect(), index }
}

const GONE: u64 = 0;

/// What is told to one who saw the key at index 10, by an answer to a query that was sent before or after that.
fn told(before: bool, query_index: u64, answer: Listing) -> Option<u64> {
    let inner = watches().0;
    let (tell, mut heard) = oneshot::channel();
    let (seen, since) = (Seen { key: "a".into(), index: 10 }, u64::from(before));
    inner.lock().all[0].members.insert(0, Member { seen, since, tell });
    let query = Query { prefix: "a".into(), number: 1, index: query_index };
    inner.tell(0, &query, answer);
    heard.try_recv().ok().map(|entry| entry.map_or(GONE, |entry| entry.modify_index))
}

#[test]
fn fault_50_an_index_that_goes_back_is_a_change_and_the_next_query_begins_anew() {
    assert_eq!(told(true, 40, listing(30, &[("a", 5)])), Some(5));
    assert_eq!(told(false, 40, listing(0, &[])), Some(GONE));
    let inner = watches().0;
    inner.tell(0, &Query { prefix: "a".into(), number: 1, index: 40 }, listing(30, &[]));
    assert_eq!(inner.lock().all[0].query.index, 0);
    inner.tell(0, &Query { prefix: "a".into(), number: 1, index: 40 }, listing(50, &[]));
    assert_eq!(inner.lock().all[0].query.index, 50);
}

#[test]
fn an_answer_that_may_be_older_than_what_was_seen_tells_only_what_is_certain() {
    for before in [true, false] {
        assert_eq!(told(before, 1, listing(12, &[("a", 12)])), Some(12), "changed");
        assert_eq!(told(before, 1, listing(12, &[])), Some(GONE), "gone");
        assert_eq!(told(before, 1, listing(12, &[("a", 10)])), None, "as it was");
    }
    assert_eq!(told(true, 1, listing(9, &[("a", 8)])), None, "older");
    assert_eq!(told(true, 1, listing(9, &[])), None, "not there yet");
}

#[test]
fn the_common_beginning_is_of_whole_characters() {
    assert_eq!(common("p/a/.lock", "p/b/.lock"), "p/");
    assert_eq!(common("é/a", "è/a"), "");
    assert_eq!(common("a/.lock", "a/.lock"), "a/.lock");
}

fn watch(inner: &Inner, number: u64, key: &str) {
    let (tell, _) = oneshot::channel();
    let member = Member { seen: Seen { key: key.to_owned(), index: 10 }, since: 0, tell };
    inner.lock().all[0].members.insert(number, member);
}

/// Who waits for one lock after the other beside one that it holds gives up one query, not one for each.
#[test]
fn a_lane_that_was_shared_stays_wide_for_a_while() {
    let inner = watches().0;
    let asks = || inner.plan(0).map(|query| query.prefix).unwrap();
    watch(&inner, 0, "p/a/.lock");
    assert_eq!(asks(), "p/a/.lock");
    watch(&inner, 1, "p/b/.lock");
    assert_eq!(asks(), "p/");
    inner.tell(0, &Query { prefix: "p/".into(), number: 2, index: 0 }, listing(50, &[("p/a/.lock", 10)]));
    assert_eq!(inner.lock().all[0].members.len(), 1, "the other was told");
    assert_eq!(asks(), "p/");
    assert_eq!(inner.lock().all[0].query.index, 50, "and asks for what is newer");
    inner.lock().all[0].task = Some(7);
    assert_ne!(inner.lock().best_for("p/c/.lock"), 0, "a lane of its own, as long as there is one");
    for lane in [1, 2] {
        let lane = &mut inner.lock().all[lane];
        (lane.task, lane.query.prefix) = (Some(8), "p/given up".to_owned());
    }
    assert_eq!(inner.lock().best_for("p/c/.lock"), 0, "rather than that another query is given up");
    inner.lock().all[0].wide_until = Some(Instant::now());
    assert_eq!(asks(), "p/a/.lock");
}

/// A lane asks for what is newer than its last answer. What that told of a key that nobody watched yet isn't told again.
#[tokio::test]
async fn news_between_the_look_and_the_watch_is_heard() {
    let agent = testbed::consul::Agent::dev().unwrap();
    let write = |key: &str, value: &str| agent.tell("PUT", &format!("/v1/kv/{key}"), value).unwrap();
    let watches = watches_at(&agent.address());
    let (mut seen, mut watching) = (Vec::new(), Vec::new());
    // Two keys have a lane each, and those that begin alike share the third.
    for key in ["x", "y", "a1", "a2", "a3", "a4"] {
        write(key, "seen");
        let entry = watches.0.api.read(Operation::Wait, key).await.unwrap().unwrap();
        seen.push(Seen { key: entry.key, index: entry.modify_index });
    }
    let late = seen.pop().unwrap();
    for seen in seen {
        let watches = watches.clone();
        watching.push(tokio::spawn(async move { watches.change(seen).await }));
    }
    write("a4", "changed");
    write("a1", "changed");
    timeout(HELD_FOR / 4, &mut watching[2]).await.expect("a1 has changed").unwrap();
    timeout(HELD_FOR / 4, watches.change(late)).await.expect("a4 had changed before");
}

//! Faults while waiting.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{DeleteResponse, GetOptions, SortOrder, SortTarget, Txn, TxnOp};
use lock_core::{Attempt, LockAdmin, LockBackend};
use tokio::time::{sleep, timeout};

use crate::support::{Bed, granted, request, seconds, until, waiter};

#[tokio::test]
async fn fault_38_waiter_whose_lease_was_revoked_gets_an_error_and_never_the_lock() {
    let bed = Bed::new();
    let (holder, client) = (bed.client(), Arc::new(bed.client()));
    let (held, waits) = (request("queue", 60), request("queue", 60));
    granted(&holder, &held).await;
    let waiting = waiter(&client, &waits);
    until("it waits", async || bed.queue("queue").len() == 2).await;
    bed.revoke("queue", 1);
    let error = timeout(seconds(2), waiting).await.expect("told at once").unwrap().unwrap_err();
    assert!(error.message().contains("place in the queue is gone"), "{error}");
    assert_eq!(bed.queue("queue").len(), 1);
}

/// The lease is revoked in the very moment in which the lock becomes free: between the wait and the try that follows.
#[tokio::test]
async fn fault_38_place_that_is_gone_when_its_turn_comes_is_an_error() {
    let bed = Bed::new();
    let (holder, client) = (bed.client(), bed.client());
    let (held, waits) = (request("turn", 60), request("turn", 60));
    granted(&holder, &held).await;
    let Attempt::Held(seen) = client.try_acquire(&waits).await.unwrap() else { panic!("it is held") };
    let waiting = timeout(Duration::from_millis(300), client.wait(&waits, &seen));
    assert!(waiting.await.is_err());
    bed.revoke("turn", 1);
    holder.release(&held.claim()).await.unwrap();
    let error = client.try_acquire(&waits).await.unwrap_err();
    assert!(error.message().contains("place in the queue is gone"), "{error}");
    // Having been told, it may begin anew.
    granted(&client, &waits).await;
}

/// The waiter's key and the one before it go in one revision, one after the other, or at once from two sides. Whoever was
/// gone when its turn came is never granted the lock, however the news of the two arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_38_waiter_that_is_gone_when_its_turn_comes_is_never_granted_the_lock() {
    let bed = Bed::new();
    let (holder, client) = (bed.client(), Arc::new(bed.client()));
    let connect = || etcd_client::Client::connect(bed.server.endpoints(), None);
    let (mut one, mut other) = (connect().await.unwrap(), connect().await.unwrap());
    let mut served = 0;
    for round in 0..120 {
        let name = format!("both{round}");
        let (held, waits) = (request(&name, 60), request(&name, 60));
        granted(&holder, &held).await;
        let waiting = waiter(&client, &waits);
        let range = format!("{}{name}/", bed.prefix);
        let mut queue = Vec::new();
        until("it waits", async || {
            let by_age = GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend);
            queue = one.get(range.as_str(), Some(by_age)).await.unwrap().take_kvs();
            queue.len() == 2
        })
        .await;
        // Its watches are in place in some of the rounds, in others not yet.
        sleep(Duration::from_millis(round % 4 * 2)).await;
        let (first, own) = (queue[0].key().to_vec(), queue[1].key().to_vec());
        let goes_first = match round % 3 {
            0 => {
                let both = [TxnOp::delete(first, None), TxnOp::delete(own, None)];
                one.txn(Txn::new().and_then(both)).await.unwrap();
                true
            }
            1 => {
                one.lease_revoke(queue[1].lease()).await.unwrap();
                one.delete(first, None).await.unwrap();
                true
            }
            _ => {
                let (own, first) = tokio::join!(one.delete(own, None), other.delete(first, None));
                let revision = |answer: DeleteResponse| answer.header().unwrap().revision();
                revision(own.unwrap()) < revision(first.unwrap())
            }
        };
        let end = timeout(seconds(5), waiting).await.expect("told").unwrap();
        assert!(!(goes_first && end.is_ok()), "round {round}: granted to a waiter that was gone");
        served += u32::from(end.is_ok());
        client.release(&waits.claim()).await.unwrap();
        holder.release(&held.claim()).await.unwrap();
    }
    println!("{served} were served, their key having gone after their turn had come");
}

#[tokio::test]
async fn fault_43_waiter_in_the_middle_that_dies_wakes_one_and_grants_nothing() {
    let bed = Bed::new();
    let holder = bed.client();
    let held = request("line", 60);
    granted(&holder, &held).await;
    let mut waiters = Vec::new();
    for n in 0..3 {
        let (client, request) = (Arc::new(bed.client()), request("line", 60));
        waiters.push((waiter(&client, &request), client, request));
        until("it waits", async || bed.queue("line").len() == n + 2).await;
    }
    bed.revoke("line", 2);
    sleep(Duration::from_millis(300)).await;
    assert!(waiters[1].0.is_finished(), "the one in the middle was told");
    assert!(!waiters[0].0.is_finished() && !waiters[2].0.is_finished(), "nobody was granted the lock early");
    holder.release(&held.claim()).await.unwrap();
    let (last, _, _) = waiters.remove(2);
    let (first, client, request) = waiters.remove(0);
    timeout(seconds(2), first).await.expect("the first is served").unwrap().unwrap();
    assert!(!last.is_finished());
    client.release(&request.claim()).await.unwrap();
    timeout(seconds(2), last).await.expect("the last is served").unwrap().unwrap();
}

#[tokio::test]
async fn waiter_whose_connection_is_cut_keeps_its_place_and_is_served() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (holder, others) = (bed.client(), lock_core::Supervisor::new(bed.behind(&proxy)));
    let held = request("cut", 60);
    granted(&holder, &held).await;
    let waiting = tokio::spawn(async move { others.lock("cut").ttl(seconds(60)).acquire().await });
    until("it waits", async || bed.queue("cut").len() == 2).await;
    let place = bed.queue("cut")[1].clone();
    for _ in 0..3 {
        proxy.reset();
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(bed.queue("cut")[1], place);
    holder.release(&held.claim()).await.unwrap();
    drop(timeout(seconds(5), waiting).await.expect("served").unwrap().unwrap());
}

/// The watch is silent though the connection stands: the waiter looks by itself.
#[tokio::test]
async fn waiter_whose_connection_is_dead_without_a_sign_is_served() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (holder, others) = (bed.client(), lock_core::Supervisor::new(bed.behind(&proxy)));
    let held = request("dead", 60);
    granted(&holder, &held).await;
    let waiting = tokio::spawn(async move { others.lock("dead").ttl(seconds(60)).acquire().await });
    until("it waits", async || bed.queue("dead").len() == 2).await;
    sleep(Duration::from_millis(300)).await;
    proxy.half_open();
    holder.release(&held.claim()).await.unwrap();
    drop(timeout(seconds(20), waiting).await.expect("served").unwrap().unwrap());
}

#[tokio::test]
async fn waiting_for_longer_than_the_ttl_keeps_the_place() {
    let bed = Bed::new();
    let (holder, client) = (bed.client(), Arc::new(bed.client()));
    let (held, waits) = (request("patient", 60), request("patient", 2));
    granted(&holder, &held).await;
    let waiting = waiter(&client, &waits);
    until("it waits", async || bed.queue("patient").len() == 2).await;
    let place = bed.queue("patient")[1].clone();
    sleep(seconds(7)).await;
    assert_eq!(bed.queue("patient").get(1), Some(&place));
    holder.release(&held.claim()).await.unwrap();
    timeout(seconds(2), waiting).await.expect("served").unwrap().unwrap();
    assert!(client.inspect(waits.key()).await.unwrap().is_some());
}

/// Who has a lease to spare doesn't look first: the transaction alone refuses it.
#[tokio::test]
async fn newcomer_with_a_spare_lease_overtakes_nobody_and_leaves_nothing() {
    let bed = Bed::new();
    let (holder, client) = (bed.client(), bed.client());
    let (before, held, newcomer) = (request("before", 60), request("taken", 60), request("taken", 60));
    granted(&client, &before).await;
    client.release(&before.claim()).await.unwrap();
    granted(&holder, &held).await;
    assert!(matches!(client.try_acquire(&newcomer).await.unwrap(), Attempt::Held(_)));
    assert_eq!(bed.queue("taken").len(), 1);
}

/// While the waiter's watches are on their way, the one before lets go and lines up again behind it: with the same lease,
/// and so the same key. Each would wait for the other.
#[tokio::test]
async fn holder_that_comes_back_with_the_same_key_stands_behind() {
    let bed = Bed::new();
    let proxy = bed.proxy();
    let (first, second) = (Arc::new(bed.client()), Arc::new(bed.behind(&proxy)));
    let warm = request("warm", 60);
    granted(&second, &warm).await;
    let (held, waits, again) = (request("same", 60), request("same", 60), request("same", 60));
    granted(&first, &held).await;
    let key = bed.queue("same").remove(0);
    proxy.delay_requests(Duration::from_millis(400));
    let waiting = waiter(&second, &waits);
    until("it waits", async || bed.queue("same").len() == 2).await;
    first.release(&held.claim()).await.unwrap();
    let back = waiter(&first, &again);
    until("it is back", async || bed.queue("same").last() == Some(&key)).await;
    timeout(seconds(4), waiting).await.expect("it is first now").unwrap().unwrap();
    second.release(&waits.claim()).await.unwrap();
    timeout(seconds(4), back).await.expect("served").unwrap().unwrap();
}

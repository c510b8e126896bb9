//! More keys than lanes: who watches the fourth key hears of it as soon as who watched the first.

use std::time::Duration;

use lock_core::LockBackend;
use tokio::time::{sleep, timeout};

use crate::support::{Store, acquire, granted, request, supervisor, until_waiting};

/// Far below what a blocking query is held for.
const SOON: Duration = Duration::from_secs(3);

/// Two locks waited for, one after the other, while three that have nothing in common with each other are held and watched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_51_waits_in_succession_are_heard_while_three_locks_are_held() {
    let store = Store::new();
    let (holder, waiter) = (store.direct(), store.through_proxy());
    let locks = supervisor(waiter.clone());
    let mut kept = Vec::new();
    for name in ["a1", "b1", "c1"] {
        kept.push(locks.lock(name).ttl(Duration::from_secs(60)).acquire().await.unwrap());
    }
    sleep(Duration::from_millis(600)).await;
    for name in ["a2", "b2", "a3", "c2", "d"] {
        let (first, second) = (request(name), request(name));
        granted(&holder, &first).await;
        let waiting = tokio::spawn({
            let (waiter, second) = (waiter.clone(), second.clone());
            async move { acquire(&waiter, &second).await }
        });
        until_waiting(&holder, name, 1).await;
        // Not at the moment at which it begins to wait.
        sleep(Duration::from_millis(200)).await;
        holder.release(&first.claim()).await.unwrap();
        timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{name} is free, and its waiter doesn't know")).unwrap();
        waiter.release(&second.claim()).await.unwrap();
        let open = store.proxy.counters().open;
        assert!(open <= 8, "{open} connections at {name}");
    }
    assert!(kept.iter().all(lock_core::LockGuard::is_held));
}

/// Each wait that was given up leaves its query behind at the agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_51_waits_that_were_given_up_make_no_later_one_deaf() {
    let store = Store::new();
    let (holder, waiter) = (store.direct(), store.through_proxy());
    for name in ["a", "b", "c", "d", "e", "f"] {
        let (first, given_up) = (request(name), request(name));
        granted(&holder, &first).await;
        let waits = timeout(Duration::from_millis(700), acquire(&waiter, &given_up)).await;
        assert!(waits.is_err(), "{name} is held");
        waiter.release(&given_up.claim()).await.unwrap();
        if ["e", "f"].contains(&name) {
            let waiting = tokio::spawn({
                let waiter = waiter.clone();
                async move { acquire(&waiter, &request(name)).await }
            });
            until_waiting(&holder, name, 1).await;
            sleep(Duration::from_millis(200)).await;
            holder.release(&first.claim()).await.unwrap();
            timeout(SOON, waiting)
                .await
                .unwrap_or_else(|_| panic!("{name} is free, and its waiter doesn't know"))
                .unwrap();
        }
        let open = store.proxy.counters().open;
        assert!(open <= 8, "{open} connections at {name}");
    }
}

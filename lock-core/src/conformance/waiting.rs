//! Waiting: never forgotten, never in vain, and in order where there is one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::Client;
use super::kit::{Kit, Task, Trouble, ensure};
use crate::{AcquireRequest, Attempt};

pub(super) async fn wait_returns_after_release(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("released");
    let (holder, waiter) = (kit.request(&key), kit.request(&key));
    kit.a.granted(&holder).await?;
    let waiting = kit.b.acquiring(&waiter);
    kit.until_waiting(&key, 1).await?;
    kit.a.released(&holder).await?;
    waiting.within(kit.soon(), "a waiter is granted the lock after its release").await?;
    kit.a.refused(&kit.request(&key)).await?;
    Ok(())
}

pub(super) async fn wait_returns_after_expiry(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("expired");
    kit.a.granted(&kit.short_request(&key)).await?;
    let waiting = kit.b.acquiring(&kit.request(&key));
    waiting.within(kit.after_expiry() + kit.soon(), "a waiter is granted the lock after its expiry").await?;
    Ok(())
}

pub(super) async fn wait_returns_after_break(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("broken");
    kit.a.granted(&kit.request(&key)).await?;
    let waiting = kit.b.acquiring(&kit.request(&key));
    kit.until_waiting(&key, 1).await?;
    kit.a.administration()?.break_lock(&key, None).await?;
    waiting.within(kit.soon(), "a waiter is granted a lock that was broken").await?;
    Ok(())
}

pub(super) async fn wait_returns_when_the_release_came_first(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("too late for the news");
    let (holder, waiter) = (kit.request(&key), kit.request(&key));
    kit.a.granted(&holder).await?;
    let seen = kit.b.refused(&waiter).await?;
    kit.a.released(&holder).await?;
    let (client, request) = (kit.b.clone(), waiter.clone());
    let waiting = Task::spawn(async move { client.wait(&request, &seen).await });
    waiting.within(kit.soon(), "a wait for a lock that was released just before returns").await?;
    kit.b.granted_within(&waiter, kit.soon()).await?;
    Ok(())
}

pub(super) async fn wait_is_no_hot_loop(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("patience");
    let (holder, waiter) = (kit.request(&key), kit.request(&key));
    kit.a.granted(&holder).await?;
    let (start, span) = (Instant::now(), Duration::from_secs(1));
    let mut tries = 0;
    while start.elapsed() < span {
        let seen = kit.b.refused(&waiter).await?;
        tries += 1;
        if let Ok(early) = timeout(span.saturating_sub(start.elapsed()), kit.b.wait(&waiter, &seen)).await {
            early?;
        }
    }
    ensure!(tries <= 100, "waiting for a second while nothing happened made {tries} tries");
    Ok(())
}

pub(super) async fn every_waiter_is_served(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("many");
    let holder = kit.request(&key);
    kit.a.granted(&holder).await?;
    let order = Order::default();
    let waiters: Vec<_> =
        (0..8).map(|n| order.waiter(n, if n % 2 == 0 { &kit.a } else { &kit.b }, kit.request(&key))).collect();
    kit.until_waiting(&key, 8).await?;
    kit.a.released(&holder).await?;
    Task::all_within(waiters, kit.in_turn(8), "each of eight waiters is served").await
}

pub(super) async fn dropped_wait_leaves_nothing_behind(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("gone");
    let (holder, gone, next) = (kit.request(&key), kit.request(&key), kit.request(&key));
    kit.a.granted(&holder).await?;
    let dropped = kit.b.acquiring(&gone);
    kit.until_waiting(&key, 1).await?;
    drop(dropped);
    let waiting = kit.b.acquiring(&next);
    kit.until_waiting(&key, 2).await?;
    kit.b.not_held(&gone).await?;
    kit.a.released(&holder).await?;
    waiting.within(kit.soon(), "the waiter after one that gave up is served").await?;
    Ok(())
}

pub(super) async fn vanished_waiter_blocks_nobody_for_long(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("vanished");
    let (holder, vanished, next) = (kit.request(&key), kit.short_request(&key), kit.request(&key));
    kit.a.granted(&holder).await?;
    let dropped = kit.b.acquiring(&vanished);
    kit.until_waiting(&key, 1).await?;
    let waiting = kit.a.acquiring(&next);
    kit.until_waiting(&key, 2).await?;
    drop(dropped);
    kit.a.released(&holder).await?;
    let bound = kit.after_expiry() + kit.soon();
    waiting.within(bound, "the waiter after one that vanished is served").await?;
    Ok(())
}

pub(super) async fn waiters_are_served_in_order(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("in order");
    let holder = kit.request(&key);
    kit.a.granted(&holder).await?;
    let order = Order::default();
    let mut waiters = Vec::new();
    for n in 0..6_u64 {
        waiters.push(order.waiter(n, if n % 2 == 0 { &kit.a } else { &kit.b }, kit.request(&key)));
        kit.until_waiting(&key, n + 1).await?;
    }
    kit.a.released(&holder).await?;
    Task::all_within(waiters, kit.in_turn(6), "each of six waiters is served").await?;
    order.check(6)
}

pub(super) async fn newcomers_do_not_overtake(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("newcomer");
    for _ in 0..5 {
        let (holder, waiter, newcomer) = (kit.request(&key), kit.request(&key), kit.request(&key));
        kit.a.granted_within(&holder, kit.soon()).await?;
        let waiting = kit.b.acquiring(&waiter);
        kit.until_waiting(&key, 1).await?;
        kit.a.released(&holder).await?;
        let attempt = kit.a.try_acquire(&newcomer).await?;
        ensure!(matches!(attempt, Attempt::Held(_)), "a newcomer was granted the lock that another waits for");
        waiting.within(kit.soon(), "the waiter is served").await?;
        kit.b.released(&waiter).await?;
    }
    Ok(())
}

pub(super) async fn interrupted_waiter_keeps_its_place(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("interrupted");
    let holder = kit.request(&key);
    kit.a.granted(&holder).await?;
    let order = Order::default();
    let first = order.restless_waiter(0, &kit.b, kit.request(&key));
    kit.until_waiting(&key, 1).await?;
    let second = order.waiter(1, &kit.a, kit.request(&key));
    kit.until_waiting(&key, 2).await?;
    sleep(Duration::from_millis(200)).await;
    kit.a.released(&holder).await?;
    Task::all_within(vec![first, second], kit.in_turn(2), "each of two waiters is served").await?;
    order.check(2)
}

/// In which order waiters were served.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<u64>>>);

impl Order {
    /// Waits for the lock, notes its number, and lets go.
    fn waiter(&self, number: u64, client: &Client, request: AcquireRequest) -> Task<Result<(), Trouble>> {
        let (served, client) = (self.clone(), client.clone());
        Task::spawn(async move {
            client.acquire(&request).await?;
            served.note(number);
            client.released(&request).await
        })
    }

    /// The same, but it breaks off waiting every 50 ms and begins anew.
    fn restless_waiter(&self, number: u64, client: &Client, request: AcquireRequest) -> Task<Result<(), Trouble>> {
        let (served, client) = (self.clone(), client.clone());
        Task::spawn(async move {
            while let Attempt::Held(seen) = client.try_acquire(&request).await? {
                if let Ok(returned) = timeout(Duration::from_millis(50), client.wait(&request, &seen)).await {
                    returned?;
                }
            }
            served.note(number);
            client.released(&request).await
        })
    }

    fn note(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    fn check(&self, count: u64) -> Result<(), Trouble> {
        let served = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(
            served.iter().copied().eq(0..count),
            "the waiters 0 to {} were served in the order {served:?}",
            count - 1
        );
        Ok(())
    }
}

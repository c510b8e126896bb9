//! One holder at a time, however often and from wherever one asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::kit::{Kit, Trouble, ensure};
use crate::{AcquireRequest, Attempt, FencingToken, HolderInfo, Label, LockRecord, WakeUp};

pub(super) async fn two_clients_exclude_each_other(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("exclusive");
    let (first, second) = (kit.request(&key), kit.request(&key));
    kit.a.granted(&first).await?;
    kit.b.refused(&second).await?;
    kit.a.refused(&kit.request(&key)).await?;
    kit.a.released(&first).await?;
    kit.b.granted_within(&second, kit.soon()).await?;
    kit.a.refused(&kit.request(&key)).await?;
    kit.b.refused(&kit.request(&key)).await?;
    Ok(())
}

pub(super) async fn one_of_many_owners_is_granted(kit: &Kit<'_>) -> Result<(), Trouble> {
    for round in 0..5 {
        let key = kit.key(&format!("race {round}"));
        let attempts = all_at_once(kit, (0..16).map(|_| kit.request(&key)).collect()).await?;
        let granted = attempts.iter().filter(|attempt| matches!(attempt, Attempt::Granted(_))).count();
        ensure!(granted == 1, "{granted} of {} owners that tried at once were granted the lock", attempts.len());
    }
    Ok(())
}

pub(super) async fn no_update_is_lost_under_load(kit: &Kit<'_>) -> Result<(), Trouble> {
    let (tasks, tokens, counted) = compete(kit).await?;
    ensure!(counted == tasks, "{tasks} tasks counted to {counted}: {} updates are lost", tasks - counted);
    ensure!(tokens.len() as u64 == tasks, "{tasks} tasks made {} grants", tokens.len());
    Ok(())
}

pub(super) async fn keys_are_independent(kit: &Kit<'_>) -> Result<(), Trouble> {
    let (busy, idle) = (kit.key("busy"), kit.key("idle"));
    let (holder, waiter) = (kit.request(&busy), kit.request(&busy));
    kit.a.granted(&holder).await?;
    let waiting = kit.b.acquiring(&waiter);
    kit.until_waiting(&busy, 1).await?;
    for client in [&kit.a, &kit.b] {
        let other = kit.request(&idle);
        let free = timeout(kit.soon(), client.granted_within(&other, kit.soon())).await;
        ensure!(free.is_ok(), "a try for \"{idle}\" hangs while someone waits for \"{busy}\"");
        free.unwrap_or(Err(Trouble::expired()))?;
        client.released(&other).await?;
    }
    kit.a.released(&holder).await?;
    waiting.within(kit.soon(), "the waiter of the busy key is served").await?;
    Ok(())
}

pub(super) async fn same_owner_gets_the_same_token(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("again");
    let request = kit.request(&key);
    let first = kit.a.granted(&request).await?;
    for _ in 0..3 {
        let again = kit.a.granted(&request).await?;
        ensure!(again.token() == first.token(), "the token was {}, and is now {}", first.token(), again.token());
        ensure!(again.ttl() >= request.ttl(), "asked for {}, granted {} the second time", request.ttl(), again.ttl());
        kit.b.refused(&kit.request(&key)).await?;
    }
    kit.a.renewed(&request, &first).await?;
    Ok(())
}

pub(super) async fn same_owner_at_once_gets_one_token(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("same owner, at once");
    let request = kit.request(&key);
    let mut tokens = Vec::new();
    let mut tries = JoinSet::new();
    for _ in 0..8 {
        let (client, request) = (kit.a.clone(), request.clone());
        tries.spawn(async move { client.granted(&request).await });
    }
    while let Some(grant) = tries.join_next().await {
        tokens.push(grant.map_err(|error| Trouble::Broken(error.to_string()))??.token());
    }
    tokens.push(kit.a.granted(&request).await?.token());
    ensure!(tokens.iter().all(|token| *token == tokens[0]), "one owner was given the tokens {tokens:?}");
    Ok(())
}

pub(super) async fn asking_again_refreshes_the_lease(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("refreshed");
    let request = kit.short_request(&key);
    let first_asked = Instant::now();
    kit.a.granted(&request).await?;
    sleep(kit.ttl.get() / 2).await;
    let asked = Instant::now();
    let again = kit.a.try_acquire(&request).await?;
    kit.in_time(first_asked)?;
    let Attempt::Granted(again) = again else { return Err(Trouble::Broken("the holder was refused".to_owned())) };
    kit.b.granted_within(&kit.request(&key), kit.after_expiry()).await?;
    let lived = asked.elapsed();
    ensure!(lived >= again.ttl().get(), "granted again for {}, but another got it after {lived:?}", again.ttl());
    Ok(())
}

pub(super) async fn dropped_acquire_can_be_asked_again(kit: &Kit<'_>) -> Result<(), Trouble> {
    for micros in [0, 50, 200, 1_000] {
        let key = kit.key(&format!("reply lost after {micros} us"));
        let request = kit.request(&key);
        // Dropped while it is on its way, which is what a lost reply is to the caller.
        let _ = timeout(Duration::from_micros(micros), kit.a.try_acquire(&request)).await;
        let first = kit.a.granted(&request).await?;
        kit.b.refused(&kit.request(&key)).await?;
        let again = kit.a.granted(&request).await?;
        ensure!(again.token() == first.token(), "the token was {}, and is now {}", first.token(), again.token());
        kit.a.renewed(&request, &first).await?;
    }
    Ok(())
}

pub(super) async fn held_attempt_leaves_nothing_behind(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("tried in vain");
    let holder = kit.request(&key);
    kit.a.granted(&holder).await?;
    for client in [&kit.a, &kit.b, &kit.b] {
        let seen = client.refused(&kit.request(&key)).await?;
        ensure!(seen.waiters().unwrap_or(0) == 0, "nobody waits, but the store counts {:?} waiters", seen.waiters());
    }
    kit.a.released(&holder).await?;
    kit.client().await?.granted_within(&kit.request(&key), kit.soon()).await?;
    Ok(())
}

pub(super) async fn held_tells_the_holder(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("told");
    let (holder, request) = described(kit.request(&key))?;
    let grant = kit.a.granted(&request).await?;
    let seen = kit.b.refused(&kit.request(&key)).await?;
    check_record(seen.record(), &request, &holder, grant.token())
}

/// The request with a holder that no other test has.
pub(super) fn described(request: AcquireRequest) -> Result<(HolderInfo, AcquireRequest), Trouble> {
    let label = Label::new("blue \"quoted\" é\n2nd line").map_err(|error| Trouble::Broken(error.to_string()))?;
    let holder = HolderInfo::this_process().with_program("conformance kit").with_label(label);
    Ok((holder.clone(), request.with_holder(Arc::new(holder))))
}

/// That a record tells all of a holder that its own kind of client knows.
pub(super) fn check_record(
    record: &LockRecord,
    request: &AcquireRequest,
    holder: &HolderInfo,
    token: FencingToken,
) -> Result<(), Trouble> {
    ensure!(record.key() == request.key(), "the record's key is {:?}, not {:?}", record.key(), request.key());
    ensure!(record.token() == Some(token), "the holder's token is {token}, told was {:?}", record.token());
    ensure!(record.owner() == Some(request.owner()), "the owner is {}, told was {:?}", request.owner(), record.owner());
    let told = (record.host(), record.pid(), record.program(), record.label());
    let real = (Some(holder.host()), Some(holder.pid()), Some(holder.program()), holder.label());
    ensure!(told == real, "host, pid, program and label are {real:?}, told was {told:?}");
    ensure!(
        record.ttl().is_some_and(|ttl| ttl >= request.ttl()),
        "the TTL is {}, told was {:?}",
        request.ttl(),
        record.ttl()
    );
    if let (Some(left), Some(ttl)) = (record.expires_in(), record.ttl()) {
        ensure!(!left.is_zero() && left <= ttl.get(), "a lease of {ttl} was told to live for another {left:?}");
    }
    if let Some(at) = record.acquired_at() {
        // Of another host's clock one can't expect more.
        let hour = Duration::from_secs(3_600);
        let now = SystemTime::now();
        ensure!(at + hour > now && at < now + hour, "acquired just now, told was {at:?}");
    }
    Ok(())
}

/// Many tasks take one lock, and each counts one further without any other protection: how many they were, the tokens
/// in the order of the grants, and how far they counted.
pub(super) async fn compete(kit: &Kit<'_>) -> Result<(u64, Vec<FencingToken>, u64), Trouble> {
    let (key, tasks) = (kit.key("counter"), affordable_tasks(kit).await?);
    let counter = Arc::new(AtomicU64::new(0));
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let client = if task % 2 == 0 { kit.a.clone() } else { kit.b.clone() };
        let (request, counter, tokens) = (kit.request(&key), counter.clone(), tokens.clone());
        running.spawn(async move {
            let grant = client.acquire(&request).await?;
            tokens.lock().unwrap_or_else(PoisonError::into_inner).push(grant.token());
            let seen = counter.load(Ordering::Relaxed);
            for _ in 0..5 {
                yield_now().await;
            }
            counter.store(seen + 1, Ordering::Relaxed);
            client.release(&request).await
        });
    }
    while let Some(end) = running.join_next().await {
        end.map_err(|error| Trouble::Broken(error.to_string()))??;
    }
    let tokens = std::mem::take(&mut *tokens.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((tasks, tokens, counter.load(Ordering::Relaxed)))
}

/// A hundred tasks, or as many as such a store serves in about ten seconds.
async fn affordable_tasks(kit: &Kit<'_>) -> Result<u64, Trouble> {
    let request = kit.request(&kit.key("measured"));
    let start = Instant::now();
    kit.a.granted(&request).await?;
    kit.a.released(&request).await?;
    let told = if kit.capabilities.wake_up() == WakeUp::Poll { kit.wake_up_within } else { Duration::ZERO };
    let hand_off = (2 * start.elapsed() + told).max(Duration::from_micros(1));
    let affordable = Duration::from_secs(10).as_nanos() / hand_off.as_nanos();
    Ok(u64::try_from(affordable).unwrap_or(u64::MAX).clamp(10, 100))
}

async fn all_at_once(kit: &Kit<'_>, requests: Vec<AcquireRequest>) -> Result<Vec<Attempt>, Trouble> {
    let barrier = Arc::new(Barrier::new(requests.len()));
    let mut tries = JoinSet::new();
    for (n, request) in requests.into_iter().enumerate() {
        let client = if n % 2 == 0 { kit.a.clone() } else { kit.b.clone() };
        let barrier = barrier.clone();
        tries.spawn(async move {
            barrier.wait().await;
            client.try_acquire(&request).await
        });
    }
    let mut attempts = Vec::new();
    while let Some(attempt) = tries.join_next().await {
        attempts.push(attempt.map_err(|error| Trouble::Broken(error.to_string()))??);
    }
    Ok(attempts)
}

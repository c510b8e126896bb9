//! Letting go: of one's own, of all of it, and of nothing else.

use std::time::Duration;

use tokio::time::timeout;

use super::kit::{Kit, Trouble, ensure};

pub(super) async fn release_frees_the_lock(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("freed");
    for client in [&kit.a, &kit.b, &kit.a] {
        let request = kit.request(&key);
        client.granted_within(&request, kit.soon()).await?;
        client.released(&request).await?;
    }
    Ok(())
}

pub(super) async fn release_again_is_not_held(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("released twice");
    let (first, second) = (kit.request(&key), kit.request(&key));
    kit.a.granted(&first).await?;
    kit.a.released(&first).await?;
    kit.a.not_held(&first).await?;
    let grant = kit.b.granted_within(&second, kit.soon()).await?;
    kit.a.not_held(&first).await?;
    kit.b.renewed(&second, &grant).await?;
    Ok(())
}

pub(super) async fn release_of_nothing_is_not_held(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("never acquired");
    kit.a.not_held(&kit.request(&key)).await?;
    kit.b.granted(&kit.request(&key)).await?;
    Ok(())
}

pub(super) async fn release_by_another_owner_touches_nothing(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("not yours");
    let (holder, other) = (kit.request(&key), kit.request(&key));
    let grant = kit.a.granted(&holder).await?;
    kit.b.refused(&other).await?;
    kit.b.not_held(&other).await?;
    kit.a.not_held(&kit.request(&key)).await?;
    kit.b.refused(&other).await?;
    kit.a.renewed(&holder, &grant).await?;
    let again = kit.a.granted(&holder).await?;
    ensure!(again.token() == grant.token(), "the holder's token was {}, and is now {}", grant.token(), again.token());
    Ok(())
}

pub(super) async fn release_after_takeover_spares_the_successor(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("late release");
    let (expired, successor) = (kit.short_request(&key), kit.request(&key));
    kit.a.granted(&expired).await?;
    let grant = kit.b.granted_within(&successor, kit.after_expiry()).await?;
    kit.a.not_held(&expired).await?;
    kit.a.refused(&kit.request(&key)).await?;
    kit.b.renewed(&successor, &grant).await?;
    Ok(())
}

pub(super) async fn release_withdraws_a_waiting_place(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("gave up");
    let (holder, waiter) = (kit.request(&key), kit.request(&key));
    kit.a.granted(&holder).await?;
    let seen = kit.b.refused(&waiter).await?;
    let _ = timeout(Duration::from_millis(100), kit.b.wait(&waiter, &seen)).await;
    kit.b.not_held(&waiter).await?;
    let seen = kit.b.refused(&kit.request(&key)).await?;
    ensure!(seen.waiters().unwrap_or(0) == 0, "the only waiter released, but the store counts {:?}", seen.waiters());
    kit.a.released(&holder).await?;
    kit.client().await?.granted_within(&kit.request(&key), kit.soon()).await?;
    Ok(())
}

pub(super) async fn release_undoes_a_dropped_acquire(kit: &Kit<'_>) -> Result<(), Trouble> {
    for micros in [0, 50, 200, 1_000] {
        let key = kit.key(&format!("given up after {micros} us"));
        let request = kit.short_request(&key);
        let _ = timeout(Duration::from_micros(micros), kit.a.try_acquire(&request)).await;
        kit.a.release(&request).await?;
        // The try may be applied after the release: then the lock is an orphan's for one TTL.
        kit.b.granted_within(&kit.request(&key), kit.after_expiry() + kit.soon()).await?;
        kit.a.not_held(&request).await?;
        kit.a.refused(&kit.request(&key)).await?;
    }
    Ok(())
}

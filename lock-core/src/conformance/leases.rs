//! How long a lease lives: as long as was told, as long as it is renewed, and not for ever.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::kit::{Kit, Trouble, ensure};
use crate::{AcquireRequest, ErrorKind, FencingToken, Grant, Renewal, Ttl};

pub(super) async fn granted_ttl_is_told(kit: &Kit<'_>) -> Result<(), Trouble> {
    for (n, asked) in [kit.ttl.get(), kit.ttl.get() + Duration::from_millis(1), kit.long.get()].into_iter().enumerate()
    {
        let request = AcquireRequest::new(kit.key(&format!("told {n}")), ttl(asked.min(kit.capabilities.max_ttl()))?);
        let told = kit.a.granted(&request).await?.ttl();
        ensure!(told >= request.ttl(), "asked for {}, granted {told}", request.ttl());
    }
    Ok(())
}

pub(super) async fn shortest_and_longest_ttl_are_granted(kit: &Kit<'_>) -> Result<(), Trouble> {
    for asked in [kit.capabilities.min_ttl(), kit.capabilities.max_ttl()] {
        let request = AcquireRequest::new(kit.key(&format!("for {asked:?}")), ttl(asked)?);
        let told = kit.a.granted(&request).await?.ttl();
        ensure!(told.get() >= asked, "asked for {asked:?}, granted {told}");
        kit.a.release(&request).await?;
    }
    Ok(())
}

pub(super) async fn ttl_below_the_range_is_refused(kit: &Kit<'_>) -> Result<(), Trouble> {
    out_of_range(kit, kit.capabilities.min_ttl().saturating_sub(Duration::from_millis(1))).await
}

pub(super) async fn ttl_above_the_range_is_refused(kit: &Kit<'_>) -> Result<(), Trouble> {
    out_of_range(kit, kit.capabilities.max_ttl() + Duration::from_millis(1)).await
}

pub(super) async fn ttl_is_rounded_up(kit: &Kit<'_>) -> Result<(), Trouble> {
    let unit = kit.capabilities.granularity();
    for extra in [Duration::from_millis(1), unit / 2, unit.saturating_sub(Duration::from_millis(1))] {
        let request = AcquireRequest::new(kit.key(&format!("{extra:?} more")), ttl(kit.ttl.get() + extra)?);
        let told = kit.a.granted(&request).await?.ttl();
        ensure!(told >= request.ttl(), "asked for {}, granted {told}", request.ttl());
        ensure!(told.round_up_to(unit) == told, "granted {told}, which is no multiple of {unit:?}");
    }
    Ok(())
}

pub(super) async fn renewal_extends_the_lease(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("renewed");
    let (holder, waiter) = (kit.short_request(&key), kit.request(&key));
    let mut sent = Instant::now();
    let grant = kit.a.granted(&holder).await?;
    let mut waiting = kit.b.acquiring(&waiter);
    for _ in 0..6 {
        sleep(kit.ttl.get() / 3).await;
        let now = Instant::now();
        let answer = kit.a.renew(&holder, &grant).await?;
        let kept_out = waiting.is_running();
        kit.in_time(sent)?;
        ensure!(matches!(answer, Renewal::Renewed(_)), "a renewal in time said {answer:?}");
        ensure!(kept_out, "a waiter got the lock, though the holder renewed in time");
        sent = now;
    }
    let refused = kit.a.refused(&kit.request(&key)).await;
    kit.in_time(sent)?;
    refused.map(|_| ())
}

pub(super) async fn renewal_restarts_the_whole_ttl(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("whole");
    let request = kit.short_request(&key);
    let asked = Instant::now();
    let grant = kit.a.granted(&request).await?;
    sleep(kit.ttl.get() / 2).await;
    let sent = Instant::now();
    let answer = kit.a.renew(&request, &grant).await?;
    kit.in_time(asked)?;
    let Renewal::Renewed(ttl) = answer else {
        return Err(Trouble::Broken("a renewal in time said Lost".to_owned()));
    };
    kit.b.granted_within(&kit.request(&key), kit.after_expiry()).await?;
    let lived = sent.elapsed();
    ensure!(lived >= ttl.get(), "renewed for {ttl}, but another got the lock after {lived:?}");
    Ok(())
}

pub(super) async fn renewal_tells_its_ttl(kit: &Kit<'_>) -> Result<(), Trouble> {
    let request = kit.request(&kit.key("told again"));
    let grant = kit.a.granted(&request).await?;
    let told = kit.a.renewed(&request, &grant).await?;
    ensure!(told >= request.ttl(), "asked for {}, renewed for {told}", request.ttl());
    Ok(())
}

pub(super) async fn renewal_of_nothing_is_lost(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("never held");
    let request = kit.request(&key);
    kit.a.lost(&request, &Grant::new(FencingToken::new(1), request.ttl())).await?;
    kit.b.granted(&kit.request(&key)).await?;
    Ok(())
}

pub(super) async fn renewal_by_another_owner_is_lost(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("another's");
    let (holder, other) = (kit.request(&key), kit.request(&key));
    let grant = kit.a.granted(&holder).await?;
    // With the holder's own token: it is the owner that counts.
    kit.b.lost(&other, &grant).await?;
    kit.b.refused(&other).await?;
    kit.a.renewed(&holder, &grant).await?;
    kit.a.released(&holder).await
}

pub(super) async fn renewal_after_release_is_lost(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("let go");
    let request = kit.request(&key);
    let grant = kit.a.granted(&request).await?;
    kit.a.released(&request).await?;
    kit.a.lost(&request, &grant).await?;
    let next = kit.request(&key);
    let successor = kit.b.granted_within(&next, kit.soon()).await?;
    kit.a.lost(&request, &grant).await?;
    kit.b.renewed(&next, &successor).await?;
    Ok(())
}

pub(super) async fn renewal_after_takeover_is_lost(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("taken over");
    let (expired, successor) = (kit.short_request(&key), kit.request(&key));
    let old = kit.a.granted(&expired).await?;
    let new = kit.b.granted_within(&successor, kit.after_expiry()).await?;
    kit.a.lost(&expired, &old).await?;
    kit.a.refused(&kit.request(&key)).await?;
    kit.b.renewed(&successor, &new).await?;
    Ok(())
}

pub(super) async fn renewal_after_break_is_lost(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("broken");
    let request = kit.request(&key);
    let grant = kit.a.granted(&request).await?;
    kit.b.administration()?.break_lock(&key, None).await?;
    kit.a.lost(&request, &grant).await?;
    kit.b.granted_within(&kit.request(&key), kit.soon()).await?;
    kit.a.lost(&request, &grant).await
}

pub(super) async fn renewal_after_expiry_is_lost_or_exclusive(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("expired");
    let request = kit.short_request(&key);
    let grant = kit.a.granted(&request).await?;
    sleep(kit.ttl.get() + kit.tolerance + kit.ttl.get() / 4).await;
    let sent = Instant::now();
    match kit.a.renew(&request, &grant).await? {
        Renewal::Lost => kit.b.granted_within(&kit.request(&key), kit.soon()).await.map(|_| ()),
        Renewal::Renewed(_) => {
            let refused = kit.b.refused(&kit.request(&key)).await;
            kit.in_time(sent)?;
            refused.map(|_| ())
        }
    }
}

pub(super) async fn lease_never_ends_early(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("not yet");
    for (holder, next) in [(&kit.a, &kit.b), (&kit.a, &kit.a)] {
        let asked = Instant::now();
        let request = kit.short_request(&key);
        let grant = holder.granted(&request).await?;
        let successor = kit.request(&key);
        next.granted_within(&successor, kit.after_expiry()).await?;
        let lived = asked.elapsed();
        ensure!(lived >= grant.ttl().get(), "granted for {}, but another got it after {lived:?}", grant.ttl());
        next.released(&successor).await?;
        // A store may keep a released lock shut for a moment; the next round needs it free.
        let settled = kit.request(&key);
        holder.granted_within(&settled, kit.soon()).await?;
        holder.released(&settled).await?;
    }
    Ok(())
}

pub(super) async fn abandoned_lease_ends_in_time(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("abandoned");
    kit.a.granted(&kit.short_request(&key)).await?;
    kit.b.granted_within(&kit.request(&key), kit.after_expiry()).await?;
    Ok(())
}

async fn out_of_range(kit: &Kit<'_>, asked: Duration) -> Result<(), Trouble> {
    let key = kit.key("out of range");
    let (min, max) = (kit.capabilities.min_ttl(), kit.capabilities.max_ttl());
    match kit.a.backend().try_acquire(&AcquireRequest::new(key.clone(), ttl(asked)?)).await {
        Ok(answer) => ensure!(false, "asked for {asked:?} of a range of {min:?} to {max:?}, the answer was {answer:?}"),
        Err(error) => {
            let kind = error.kind();
            ensure!(
                kind == ErrorKind::TtlOutOfRange { min, max },
                "{min:?} to {max:?} is the range, told was {kind:?}"
            );
            ensure!(!error.is_transient(), "a TTL out of range is no transient error");
        }
    }
    kit.b.granted(&kit.request(&key)).await?;
    Ok(())
}

fn ttl(asked: Duration) -> Result<Ttl, Trouble> {
    Ttl::new(asked).map_err(|error| Trouble::Broken(format!("the store's range has no such TTL: {error}")))
}

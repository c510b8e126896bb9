//! Administration, and what a store says of itself.

use std::time::Duration;

use super::exclusion::{check_record, described};
use super::kit::{Kit, Trouble, ensure};
use crate::{BreakOutcome, FencingToken, LockRecord, Severity, Ttl};

pub(super) async fn inspect_of_a_free_lock_is_none(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("free");
    for _ in 0..2 {
        for client in [&kit.a, &kit.b] {
            let record = client.inspect(&key).await?;
            ensure!(record.is_none(), "nobody holds \"{key}\", inspect says {record:?}");
        }
        let request = kit.request(&key);
        kit.a.granted_within(&request, kit.soon()).await?;
        kit.a.released(&request).await?;
    }
    Ok(())
}

pub(super) async fn inspect_tells_the_holder(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("inspected");
    let (holder, request) = described(kit.request(&key))?;
    let grant = kit.a.granted(&request).await?;
    for client in [&kit.a, &kit.b] {
        match client.inspect(&key).await? {
            Some(record) => check_record(&record, &request, &holder, grant.token())?,
            None => ensure!(false, "\"{key}\" is held, inspect says that it is free"),
        }
    }
    Ok(())
}

pub(super) async fn list_is_sorted_and_complete(kit: &Kit<'_>) -> Result<(), Trouble> {
    let names = ["b", "a/2", "é", "a/10", "a\nb", "B", "a", "%2F", "/"];
    let mut expected = Vec::new();
    for name in names {
        let request = kit.request(&kit.key(name));
        let grant = kit.a.granted(&request).await?;
        expected.push((request.key().clone(), Some(request.owner()), Some(grant.token())));
    }
    let freed = kit.request(&kit.key("freed"));
    kit.a.granted(&freed).await?;
    kit.a.released(&freed).await?;
    expected.sort();
    let listed = kit.b.administration()?.list("").await?;
    let listed: Vec<_> = listed.iter().map(|record| (record.key().clone(), record.owner(), record.token())).collect();
    ensure!(listed == expected, "held are {expected:?}, listed were {listed:?}");
    Ok(())
}

pub(super) async fn list_takes_the_prefix_literally(kit: &Kit<'_>) -> Result<(), Trouble> {
    let keys: Vec<_> = ["a", "a/b", "a/bc", "a/B", "ab", "b/a/b", "*", "%", "é"].map(|name| kit.key(name)).to_vec();
    for key in &keys {
        kit.a.granted(&kit.request(key)).await?;
    }
    for prefix in ["a", "a/", "a/b", "*", "a*", "%", "b/a/b", "A", "é", "nothing"] {
        let mut expected: Vec<_> = keys.iter().filter(|key| key.as_str().starts_with(prefix)).collect();
        expected.sort();
        let records = kit.b.administration()?.list(prefix).await?;
        let listed: Vec<_> = records.iter().map(LockRecord::key).collect();
        ensure!(listed == expected, "{expected:?} begin with {prefix:?}, listed were {listed:?}");
    }
    Ok(())
}

pub(super) async fn expired_locks_are_not_listed(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("expired");
    kit.a.granted(&kit.short_request(&key)).await?;
    tokio::time::sleep(kit.ttl.get() + kit.tolerance + kit.ttl.get() / 4).await;
    let record = kit.b.inspect(&key).await?;
    ensure!(record.is_none(), "the lease is over, inspect says {record:?}");
    let listed = kit.b.administration()?.list("").await?;
    ensure!(listed.is_empty(), "the lease is over, listed is {listed:?}");
    Ok(())
}

pub(super) async fn break_takes_the_lock_away(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("broken");
    for by_token in [false, true] {
        let request = kit.request(&key);
        let grant = kit.a.granted_within(&request, kit.soon()).await?;
        let outcome = kit.b.administration()?.break_lock(&key, by_token.then(|| grant.token())).await?;
        let BreakOutcome::Broken(record) = outcome else {
            return Err(Trouble::Broken(format!("breaking a lock that is held said {outcome:?}")));
        };
        ensure!(record.owner() == Some(request.owner()), "{} lost the lock, told was {record:?}", request.owner());
        kit.a.lost(&request, &grant).await?;
        kit.a.not_held(&request).await?;
        let record = kit.a.inspect(&key).await?;
        ensure!(record.is_none(), "the lock was broken, inspect says {record:?}");
    }
    Ok(())
}

pub(super) async fn break_by_token_spares_another_holder(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("not that one");
    let (first, second) = (kit.request(&key), kit.request(&key));
    let old = kit.a.granted(&first).await?;
    kit.a.released(&first).await?;
    let current = kit.a.granted_within(&second, kit.soon()).await?;
    for wrong in [old.token(), FencingToken::new(current.token().get() + 1)] {
        let outcome = kit.b.administration()?.break_lock(&key, Some(wrong)).await?;
        let BreakOutcome::TokenDiffers(record) = outcome else {
            return Err(Trouble::Broken(format!(
                "breaking by the token {wrong} of {} said {outcome:?}",
                current.token()
            )));
        };
        let told = record.token();
        ensure!(told == Some(current.token()), "the holder's token is {}, told was {told:?}", current.token());
        kit.a.renewed(&second, &current).await?;
        kit.b.refused(&kit.request(&key)).await?;
    }
    Ok(())
}

pub(super) async fn break_of_a_free_lock_is_free(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("free");
    for if_token in [None, Some(FencingToken::new(1))] {
        let outcome = kit.b.administration()?.break_lock(&key, if_token).await?;
        ensure!(outcome == BreakOutcome::Free, "breaking a lock that nobody holds said {outcome:?}");
    }
    kit.a.granted(&kit.request(&key)).await?;
    Ok(())
}

pub(super) async fn preflight_is_usable(kit: &Kit<'_>) -> Result<(), Trouble> {
    let findings = kit.a.administration()?.preflight().await;
    ensure!(!findings.is_empty(), "the preflight found nothing, not even that something is good");
    for finding in findings {
        ensure!(finding.severity() < Severity::Unusable, "the harness' own store is said to be unusable: {finding:?}");
        ensure!(!finding.check().is_empty() && !finding.what().is_empty(), "a finding that says nothing: {finding:?}");
    }
    Ok(())
}

pub(super) async fn capabilities_are_sane(kit: &Kit<'_>) -> Result<(), Trouble> {
    let told = kit.capabilities;
    let again =
        (kit.a.backend().capabilities(), kit.b.backend().capabilities(), kit.client().await?.backend().capabilities());
    ensure!(again == (told, told, told), "the capabilities were {told:?}, and then {again:?}");
    ensure!(!told.name().is_empty(), "the store has no name");
    ensure!(Ttl::MIN <= told.min_ttl() && told.max_ttl() <= Ttl::MAX, "no such TTLs: {told:?}");
    ensure!(told.min_ttl() <= told.max_ttl(), "the range of TTLs is empty: {told:?}");
    ensure!(!told.granularity().is_zero(), "the unit of TTLs is zero");
    let most = told.min_ttl().max(Duration::from_secs(1));
    ensure!(told.granularity() <= most, "TTLs are rounded to {:?}, more than {most:?}", told.granularity());
    ensure!(told.wake_up_within() < Duration::from_secs(3_600), "waiters may sleep for {:?}", told.wake_up_within());
    Ok(())
}

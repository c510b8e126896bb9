//! Fencing tokens only ever rise, whatever happened between two grants.

use super::exclusion::compete;
use super::kit::{Kit, Trouble, ensure};
use crate::FencingToken;

pub(super) async fn tokens_rise_over_release(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("released");
    let mut tokens = Vec::new();
    for round in 0..12 {
        let client = if round % 3 == 0 { &kit.a } else { &kit.b };
        let request = kit.request(&key);
        tokens.push(client.granted_within(&request, kit.soon()).await?.token());
        client.released(&request).await?;
    }
    rising(&tokens)
}

pub(super) async fn tokens_rise_over_takeover(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("taken over");
    let mut tokens = Vec::new();
    for client in [&kit.a, &kit.b, &kit.a] {
        let bound = kit.after_expiry();
        tokens.push(client.granted_within(&kit.short_request(&key), bound).await?.token());
    }
    rising(&tokens)
}

pub(super) async fn tokens_rise_over_break(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("broken");
    let mut tokens = Vec::new();
    for (client, other) in [(&kit.a, &kit.b), (&kit.b, &kit.a), (&kit.a, &kit.a)] {
        tokens.push(client.granted_within(&kit.request(&key), kit.soon()).await?.token());
        other.administration()?.break_lock(&key, None).await?;
    }
    rising(&tokens)
}

pub(super) async fn tokens_rise_under_load(kit: &Kit<'_>) -> Result<(), Trouble> {
    let (_, tokens, _) = compete(kit).await?;
    rising(&tokens)
}

pub(super) async fn tokens_rise_for_a_new_client(kit: &Kit<'_>) -> Result<(), Trouble> {
    let key = kit.key("client after client");
    let mut tokens = Vec::new();
    for _ in 0..4 {
        let client = kit.client().await?;
        let request = kit.request(&key);
        tokens.push(client.granted_within(&request, kit.soon()).await?.token());
        client.released(&request).await?;
    }
    rising(&tokens)
}

fn rising(tokens: &[FencingToken]) -> Result<(), Trouble> {
    for pair in tokens.windows(2) {
        ensure!(pair[0] < pair[1], "after the token {} came {}", pair[0], pair[1]);
    }
    Ok(())
}

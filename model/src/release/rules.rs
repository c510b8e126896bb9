//! What must hold at all times.

use stateright::Property;

use super::{MESSAGES, Phase, ReleaseProtocol, State, TTL};

/// What is noted when a step breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A client sends no renewal after its release.
    RenewalAfterRelease,
    /// No client is refused the lock because of its own earlier request.
    RefusedByItself,
    /// As long as an owner has the lock, it has one token.
    AnotherToken,
    /// A renewal extends its own owner's lease only.
    ExtendedAnothers,
}

pub(super) fn properties() -> Vec<Property<ReleaseProtocol>> {
    vec![
        Property::always("at most one believes that it holds the lock", |_, state: &State| {
            state.clients.iter().filter(|client| client.belief > 0).count() <= 1
        }),
        Property::always(
            "who believes has the lease at the store, with its token and for as long",
            |_, state: &State| {
                state.clients.iter().filter(|client| client.belief > 0).all(|client| {
                    state.lease.is_some_and(|lease| {
                        lease.owner == client.owner && lease.token == client.token && lease.left >= client.belief
                    })
                })
            },
        ),
        Property::always("no renewal is sent after the release", |_, state: &State| {
            state.broken != Some(Rule::RenewalAfterRelease)
        }),
        Property::always("nobody is refused because of itself", |_, state: &State| {
            state.broken != Some(Rule::RefusedByItself)
        }),
        Property::always("the same owner has the same token", |_, state: &State| {
            state.broken != Some(Rule::AnotherToken)
        }),
        Property::always("a renewal extends its owner's lease alone", |_, state: &State| {
            state.broken != Some(Rule::ExtendedAnothers)
        }),
        Property::always(
            "whoever is done has nothing at the store, unless a message was lost or late",
            |_, state: &State| {
                state.clients.iter().all(|client| {
                    client.phase != Phase::Idle
                        || client.unlucky
                        || state.lease.is_none_or(|lease| lease.owner != client.owner)
                })
            },
        ),
        Property::always(
            "a lease lives for one TTL after its owner's last request, whoever has gone",
            |_, state: &State| state.lease.is_none_or(|lease| lease.left + lease.unheard <= TTL),
        ),
        Property::sometimes("an orphan is at the store, of which nobody knows any more", |_, state: &State| {
            state.clients.iter().any(|client| {
                client.phase == Phase::Idle
                    && client.messages == [None; MESSAGES]
                    && state.lease.is_some_and(|lease| lease.owner == client.owner)
            })
        }),
        Property::sometimes("an abandoned acquire is applied after its clean-up", |_, state: &State| {
            state.clients.iter().any(|client| {
                client.phase == Phase::Idle
                    && state.lease.is_some_and(|lease| lease.owner == client.owner && lease.left == TTL)
            })
        }),
    ]
}

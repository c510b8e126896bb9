//! States that differ in names alone are one.

use super::steps::{OWNERS, first_owner};
use super::{Answer, CLIENTS, State};

impl State {
    /// Of tokens only the order matters, and of clients that do the same not which is which.
    pub(super) fn make_canonical(&mut self) {
        self.forget_unawaited();
        self.close_gaps();
        let swapped = self.swapped();
        if swapped < *self {
            *self = swapped;
        }
    }

    /// The last two clients, neither of which renews, in each other's place.
    fn swapped(&self) -> Self {
        let mut other = self.clone();
        other.clients.swap(CLIENTS - 2, CLIENTS - 1);
        let rename = |owner: &mut u8| {
            let client = match usize::from(*owner / OWNERS) {
                place if place == CLIENTS - 2 => CLIENTS - 1,
                place if place == CLIENTS - 1 => CLIENTS - 2,
                place => place,
            };
            *owner = first_owner(client) + *owner % OWNERS;
        };
        for client in &mut other.clients {
            rename(&mut client.owner);
            client.messages.iter_mut().flatten().for_each(|message| rename(&mut message.owner));
        }
        if let Some(lease) = &mut other.lease {
            rename(&mut lease.owner);
        }
        other.forget_unawaited();
        other
    }

    /// Tokens that nobody knows any more leave no gap.
    fn close_gaps(&mut self) {
        let mut tokens: Vec<&mut u8> = self.lease.iter_mut().map(|lease| &mut lease.token).collect();
        for client in &mut self.clients {
            tokens.push(&mut client.token);
            tokens.extend(client.messages.iter_mut().flatten().filter_map(|message| match &mut message.answer {
                Some(Answer::Yes(token)) => Some(token),
                _ => None,
            }));
        }
        let mut known: Vec<u8> = tokens.iter().map(|token| **token).filter(|token| *token > 0).collect();
        known.sort_unstable();
        known.dedup();
        for token in tokens.into_iter().filter(|token| **token > 0) {
            *token = number(known.iter().take_while(|other| *other <= token).count());
        }
        self.last_token = number(known.len());
    }

    /// An answer that nobody waits for says nothing; times that are not asked for are all alike; places
    /// of messages mean nothing.
    fn forget_unawaited(&mut self) {
        for client in &mut self.clients {
            for place in &mut client.messages {
                if place.is_some_and(|message| message.answer.is_some() && !message.awaited) {
                    *place = None;
                }
                if let Some(message) = place
                    && !message.awaited
                {
                    message.sent = 0;
                }
            }
            client.messages.sort_unstable_by_key(|message| {
                message.map_or((1, 0, 0, 0, false, 0), |message| {
                    let answer = match message.answer {
                        None => 0,
                        Some(Answer::No) => 1,
                        Some(Answer::Yes(token)) => 2 + token,
                    };
                    (0, message.kind as u8, message.owner, message.sent, message.awaited, answer)
                })
            });
        }
    }
}

fn number(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

//! What can happen, and what it does.

use super::{Answer, Client, Guard, Kind, Lease, Message, Phase, ReleaseProtocol, Rule, State, TTL};

/// So many owners a client has at most.
pub(super) const OWNERS: u8 = 16;

/// The owner before a client's first.
pub(super) fn first_owner(client: usize) -> u8 {
    u8::try_from(client).map_or(u8::MAX, |client| client * OWNERS)
}

/// What happens next. Clients and messages are named by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The clock goes on, for the store and the clients alike.
    Tick,
    /// A client begins an acquisition.
    Acquire(usize),
    /// A client waits no longer for an answer, and asks again.
    AskAgain(usize),
    /// A client gives up an acquire: its future is dropped, or no answer came.
    Cancel(usize),
    /// A client renews its lease.
    Renew(usize),
    /// A client's renewal has no answer in time.
    RenewalTimesOut(usize),
    /// A client releases the lock.
    Release(usize),
    /// A release has no answer, and is sent again or given up.
    ReleaseAgain(usize),
    /// The store does what a request asks for.
    Apply(usize, usize),
    /// An answer reaches its client.
    Deliver(usize, usize),
    /// A request or an answer is lost.
    Lose(usize, usize),
    /// A client's process is killed. Another may begin in its place, which knows nothing.
    Crash(usize),
}

pub(super) fn possible(model: ReleaseProtocol, state: &State, actions: &mut Vec<Action>) {
    actions.push(Action::Tick);
    for (index, client) in state.clients.iter().enumerate() {
        let has_room = client.messages.iter().flatten().count() < model.messages;
        if state.crashes > 0 && client.phase != Phase::Idle {
            actions.push(Action::Crash(index));
        }
        let waits = |kind| client.awaits(kind);
        match client.phase {
            Phase::Idle if client.left > 0 && has_room => actions.push(Action::Acquire(index)),
            Phase::Idle => {}
            Phase::Acquiring => {
                if client.tries < model.tries && has_room {
                    actions.push(Action::AskAgain(index));
                }
                if has_room {
                    actions.push(Action::Cancel(index));
                }
            }
            Phase::Holding => {
                if index == 0 && client.belief > 0 && !waits(Kind::Renew) && has_room {
                    actions.push(Action::Renew(index));
                }
                if waits(Kind::Renew) {
                    actions.push(Action::RenewalTimesOut(index));
                }
                if has_room && (!waits(Kind::Renew) || model.removed == Some(Guard::ReleaseWaitsForRenewal)) {
                    actions.push(Action::Release(index));
                }
            }
            Phase::Releasing => {
                if has_room || client.tries >= model.tries {
                    actions.push(Action::ReleaseAgain(index));
                }
                if model.removed == Some(Guard::NoRenewalAfterRelease) && !waits(Kind::Renew) && has_room {
                    actions.push(Action::Renew(index));
                }
            }
        }
        for (place, message) in client.messages.iter().enumerate() {
            let Some(message) = message else { continue };
            actions.push(if message.answer.is_some() {
                Action::Deliver(index, place)
            } else {
                Action::Apply(index, place)
            });
            if state.losses > 0 {
                actions.push(Action::Lose(index, place));
            }
        }
    }
}

pub(super) fn take(model: ReleaseProtocol, state: &mut State, action: Action) {
    match action {
        Action::Tick => tick(state),
        Action::Acquire(index) => {
            let client = &mut state.clients[index];
            client.owner += 1;
            (client.phase, client.tries, client.unlucky) = (Phase::Acquiring, 0, false);
            client.left -= 1;
            client.send(Kind::Acquire);
        }
        Action::AskAgain(index) => {
            let client = &mut state.clients[index];
            client.owner += u8::from(model.removed == Some(Guard::OneOwner));
            client.wait_no_longer(Kind::Acquire);
            client.send(Kind::Acquire);
        }
        Action::Cancel(index) => {
            let client = &mut state.clients[index];
            client.wait_no_longer(Kind::Acquire);
            if model.removed == Some(Guard::CleanUp) { client.done() } else { client.begin_release() }
        }
        Action::Renew(index) => {
            let client = &mut state.clients[index];
            if client.phase == Phase::Releasing {
                state.broken = Some(Rule::RenewalAfterRelease);
            }
            client.send(Kind::Renew);
        }
        Action::RenewalTimesOut(index) => state.clients[index].wait_no_longer(Kind::Renew),
        Action::Release(index) => state.clients[index].begin_release(),
        Action::ReleaseAgain(index) => {
            let client = &mut state.clients[index];
            client.wait_no_longer(Kind::Release);
            if client.tries >= model.tries || model.removed == Some(Guard::ReleaseAgain) {
                // The TTL frees what this couldn't.
                client.unlucky |= client.tries >= model.tries;
                client.done();
            } else {
                client.send(Kind::Release);
            }
        }
        Action::Crash(index) => {
            state.crashes -= 1;
            let client = &mut state.clients[index];
            client.messages.iter_mut().flatten().for_each(|message| message.awaited = false);
            // Its lease is left to the TTL, and what it has sent is on its way.
            client.unlucky = true;
            client.done();
        }
        Action::Apply(index, place) => apply(model, state, index, place),
        Action::Deliver(index, place) => deliver(model, state, index, place),
        Action::Lose(index, place) => {
            state.losses -= 1;
            state.clients[index].messages[place] = None;
        }
    }
    state.make_canonical();
}

fn tick(state: &mut State) {
    if let Some(lease) = &mut state.lease {
        lease.left -= 1;
        // More says no more, and would have no end.
        lease.unheard = (lease.unheard + 1).min(TTL);
    }
    state.lease = state.lease.filter(|lease| lease.left > 0);
    for client in &mut state.clients {
        client.belief = client.belief.saturating_sub(1);
        for message in client.messages.iter_mut().flatten() {
            message.sent = message.sent.saturating_sub(1);
        }
    }
}

/// The store's part, by the rules of the trait.
fn apply(model: ReleaseProtocol, state: &mut State, index: usize, place: usize) {
    let Some(message) = state.clients[index].messages[place] else { return };
    let Message { kind, owner, .. } = message;
    let mine = state.lease.filter(|lease| lease.owner == owner);
    let answer = match (kind, state.lease) {
        (Kind::Acquire, None) => state.grant(owner),
        (Kind::Acquire, Some(_)) if mine.is_some() && model.removed == Some(Guard::SameToken) => {
            let answer = state.grant(owner);
            if state.clients[index].token > 0 || state.clients[index].phase == Phase::Acquiring {
                state.broken = Some(Rule::AnotherToken);
            }
            answer
        }
        (Kind::Acquire, Some(lease)) if lease.owner == owner => {
            state.lease = Some(Lease { left: TTL, unheard: 0, ..lease });
            Answer::Yes(lease.token)
        }
        (Kind::Acquire, Some(lease)) => {
            if model.removed == Some(Guard::OneOwner) && state.is_earlier_of(index, lease.owner) {
                state.broken = Some(Rule::RefusedByItself);
            }
            Answer::No
        }
        (Kind::Renew, Some(lease)) if mine.is_some() || model.removed == Some(Guard::RenewComparesOwner) => {
            if mine.is_none() {
                state.broken = Some(Rule::ExtendedAnothers);
            }
            let unheard = if mine.is_some() { 0 } else { lease.unheard };
            state.lease = Some(Lease { left: TTL, unheard, ..lease });
            Answer::Yes(0)
        }
        (Kind::Release, Some(_)) if mine.is_some() || model.removed == Some(Guard::ReleaseComparesOwner) => {
            state.lease = None;
            Answer::Yes(0)
        }
        (Kind::Renew | Kind::Release, _) => Answer::No,
    };
    let client = &mut state.clients[index];
    if kind == Kind::Release && owner == client.owner {
        // What was sent before and is applied after this leaves an orphan.
        client.unlucky |= client
            .messages
            .iter()
            .flatten()
            .any(|other| other.kind == Kind::Acquire && other.owner == owner && other.answer.is_none());
    }
    client.messages[place] = Some(Message { answer: Some(answer), ..message });
}

/// The supervisor's part.
fn deliver(model: ReleaseProtocol, state: &mut State, index: usize, place: usize) {
    let client = &mut state.clients[index];
    let Some(message) = client.messages[place].take() else { return };
    let Some(answer) = message.answer else { return };
    let sent = if model.removed == Some(Guard::BeliefFromSending) { TTL } else { message.sent };
    match (message.kind, answer) {
        (Kind::Acquire, Answer::Yes(_)) if sent == 0 => {
            // It comes after its own deadline: the same owner asks again, or gives up.
        }
        (Kind::Acquire, Answer::Yes(token)) => {
            (client.phase, client.belief, client.token, client.tries) = (Phase::Holding, sent, token, 0);
        }
        // Nothing is left there, unless an earlier request is on its way: then it is cleaned up.
        (Kind::Acquire, Answer::No) => {
            if client.tries == 1 {
                client.done();
            }
        }
        (Kind::Renew, Answer::Yes(_)) => {
            if client.belief > 0 || model.removed == Some(Guard::LateReplyIgnored) && client.phase == Phase::Holding {
                client.belief =
                    client.belief.max(if model.removed == Some(Guard::LateReplyIgnored) { sent.max(1) } else { sent });
            }
        }
        (Kind::Renew, Answer::No) => client.belief = 0,
        (Kind::Release, _) => client.done(),
    }
}

impl Client {
    fn awaits(&self, kind: Kind) -> bool {
        self.messages.iter().flatten().any(|message| message.awaited && message.kind == kind)
    }

    fn send(&mut self, kind: Kind) {
        if kind != Kind::Renew {
            self.tries += 1;
        }
        let message = Message { kind, owner: self.owner, sent: TTL, awaited: true, answer: None };
        if let Some(room) = self.messages.iter_mut().find(|room| room.is_none()) {
            *room = Some(message);
        }
    }

    fn wait_no_longer(&mut self, kind: Kind) {
        for message in self.messages.iter_mut().flatten().filter(|message| message.kind == kind) {
            message.awaited = false;
        }
    }

    /// The belief ends before anything is sent.
    fn begin_release(&mut self) {
        (self.phase, self.belief, self.tries) = (Phase::Releasing, 0, 0);
        self.wait_no_longer(Kind::Renew);
        self.send(Kind::Release);
    }

    fn done(&mut self) {
        (self.phase, self.belief, self.tries, self.token) = (Phase::Idle, 0, 0, 0);
    }
}

impl State {
    fn grant(&mut self, owner: u8) -> Answer {
        self.last_token += 1;
        self.lease = Some(Lease { owner, token: self.last_token, left: TTL, unheard: 0 });
        Answer::Yes(self.last_token)
    }

    /// Whether this owner was the client's in an earlier try of the acquisition that goes on.
    fn is_earlier_of(&self, index: usize, owner: u8) -> bool {
        let client = &self.clients[index];
        client.phase == Phase::Acquiring && client.tries > 1 && owner + 1 == client.owner
    }
}

//! The protocol between a supervisor and its store: acquire, renew, release, and giving up.
//!
//! The store is any that keeps the rules of the trait `LockBackend`: it answers by owner, and lets go
//! of a lease when its TTL is over. Between the two is a network that loses requests and replies,
//! and delivers them late and in any order. Clients take the lock one after the other, each time as
//! another owner; the first of them renews. Between any two steps a client may stand still, for
//! ever, or its process is killed and another one begins in its place.

mod canonical;
mod rules;
mod steps;

use stateright::{Model, Property};

pub use rules::Rule;
pub use steps::Action;

/// A lease's length in ticks.
pub const TTL: u8 = 2;
/// How many clients there can be.
pub const CLIENTS: usize = 3;
/// How many messages of a client can be on their way at most.
pub const MESSAGES: usize = 3;

/// The guards of the protocol, each of which can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// `schedule.rs`, `deadline`: a lease is believed in from the sending of its request.
    BeliefFromSending,
    /// `held.rs`, `renewed`: a reply that comes after the deadline changes nothing.
    LateReplyIgnored,
    /// `acquire.rs`, `CleanUp`: an acquire that is given up is released.
    CleanUp,
    /// `release.rs`: a release without an answer is sent again.
    ReleaseAgain,
    /// `held.rs`, `end`, before `release`: no renewal begins after the release.
    NoRenewalAfterRelease,
    /// `request.rs`: the owner is drawn before anything is sent, once for all tries.
    OneOwner,
    /// The trait's rule 1: an owner that has the lock gets the same token again.
    SameToken,
    /// The trait's rule 2: a release touches its owner's lease alone.
    ReleaseComparesOwner,
    /// The trait's rule 4: a renewal touches its owner's lease alone.
    RenewComparesOwner,
    /// `held.rs`, `renewal_over`: the release waits until no renewal is under way.
    ReleaseWaitsForRenewal,
}

/// The protocol, whole or without one guard.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseProtocol {
    /// What is taken out.
    pub removed: Option<Guard>,
    /// How many requests and replies may be lost.
    pub losses: u8,
    /// How many acquisitions each client begins, of those that do anything.
    pub acquisitions: [u8; CLIENTS],
    /// How often a request without an answer is sent in all.
    pub tries: u8,
    /// How many messages of a client can be on their way.
    pub messages: usize,
    /// How often a client's process is killed.
    pub crashes: u8,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `try_acquire`
    Acquire,
    /// `renew`
    Renew,
    /// `release`
    Release,
}

/// What a store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Granted with this token, or renewed.
    Yes(u8),
    /// Somebody else has it, or it is lost, or it was not held.
    No,
}

/// A request on its way to the store, or its answer on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// What is asked.
    pub kind: Kind,
    /// Whose.
    pub owner: u8,
    /// How long a lease that it brings is believed in.
    pub sent: u8,
    /// The client still waits for it.
    pub awaited: bool,
    /// There is one: it was applied.
    pub answer: Option<Answer>,
}

/// What a client is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It wants nothing.
    Idle,
    /// It asks for the lock.
    Acquiring,
    /// It was granted the lock.
    Holding,
    /// It lets go, of a lock or of an acquire that it gave up.
    Releasing,
}

/// A supervisor with one acquisition at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// What it is at.
    pub phase: Phase,
    /// Its owner; another one in each acquisition, and no other client's.
    pub owner: u8,
    /// How long it still believes that it holds the lock.
    pub belief: u8,
    /// The token of its grant.
    pub token: u8,
    /// How often it has asked, in this phase.
    pub tries: u8,
    /// How many acquisitions it may still begin.
    pub left: u8,
    /// What is on its way.
    pub messages: [Option<Message>; MESSAGES],
    /// Noted: its release may not have reached the store, or something may reach it after that.
    pub unlucky: bool,
}

/// A lease at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// Whose.
    pub owner: u8,
    /// Its token.
    pub token: u8,
    /// How long it lives unless renewed.
    pub left: u8,
    /// How long ago a request of its owner was applied.
    pub unheard: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// The clients.
    pub clients: [Client; CLIENTS],
    /// The store's lease, if there is one.
    pub lease: Option<Lease>,
    /// The last token that was granted.
    pub last_token: u8,
    /// How many messages may still be lost.
    pub losses: u8,
    /// How many processes may still be killed.
    pub crashes: u8,
    /// Noted: what was broken.
    pub broken: Option<Rule>,
}

impl Model for ReleaseProtocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let client = |index: usize| Client {
            phase: Phase::Idle,
            owner: steps::first_owner(index),
            belief: 0,
            token: 0,
            tries: 0,
            left: self.acquisitions[index],
            messages: [None; MESSAGES],
            unlucky: false,
        };
        let clients = std::array::from_fn(client);
        let (losses, crashes) = (self.losses, self.crashes);
        vec![State { clients, lease: None, last_token: 0, losses, crashes, broken: None }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_none() {
            steps::possible(*self, state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        steps::take(*self, &mut next, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::properties()
    }
}

//! What goes over the simulated network.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::Nanos;
use crate::{
    AcquireRequest, Attempt, BackendError, Claim, ErrorKind, Lease, LossHint, Operation, Outcome, OwnerId, Release,
    Renewal,
};

/// What a client asks of the store.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Acquire(AcquireRequest),
    Wait(AcquireRequest),
    Renew(Lease),
    Release(Claim),
}

impl Request {
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Acquire(_) => Operation::Acquire,
            Self::Wait(_) => Operation::Wait,
            Self::Renew(_) => Operation::Renew,
            Self::Release(_) => Operation::Release,
        }
    }

    pub(super) fn owner(&self) -> OwnerId {
        match self {
            Self::Acquire(request) | Self::Wait(request) => request.owner(),
            Self::Renew(lease) => lease.owner(),
            Self::Release(claim) => claim.owner(),
        }
    }

    pub(super) fn key(&self) -> &str {
        match self {
            Self::Acquire(request) | Self::Wait(request) => request.key().as_str(),
            Self::Renew(lease) => lease.key().as_str(),
            Self::Release(claim) => claim.key().as_str(),
        }
    }
}

/// What the store answers.
#[derive(Debug)]
pub(super) enum Answer {
    Attempt(Box<Attempt>),
    /// Another try is worth while.
    Try,
    Renewal(Renewal),
    Release(Release),
    Failed(BackendError),
}

impl Answer {
    /// The connection broke before anything was sent.
    pub(super) fn refused(operation: Operation) -> Self {
        let error = BackendError::new(ErrorKind::Unavailable, operation, "simulated: connection refused");
        Self::Failed(error.with_outcome(Outcome::NotApplied))
    }

    /// The connection broke after the request was sent.
    pub(super) fn reset(operation: Operation) -> Self {
        Self::Failed(BackendError::new(ErrorKind::Unavailable, operation, "simulated: connection reset"))
    }
}

/// Where an answer goes. The first one counts, as of a request that was duplicated on its way.
#[derive(Debug, Clone)]
pub(super) struct ReplyTo(Arc<Mutex<Option<oneshot::Sender<Answer>>>>);

impl ReplyTo {
    pub(super) fn new(sender: oneshot::Sender<Answer>) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }

    fn answer(&self, answer: Answer) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Who asked may have gone away.
        if let Some(sender) = sender {
            drop(sender.send(answer));
        }
    }
}

/// A request on its way.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub(super) client: usize,
    /// Which of the client's requests it is.
    pub(super) nth: u64,
    pub(super) request: Request,
    pub(super) reply_to: ReplyTo,
}

/// Something done at a resource, in the order of true time; answers what brings its result back.
pub(super) type Deed = Box<dyn FnOnce() -> Return + Send>;
/// Hands a result over, on the client that asked for it.
pub(super) type Return = Box<dyn FnOnce() + Send>;

/// What a client sent.
pub(super) enum Sent {
    ToStore { request: Request, reply_to: ReplyTo },
    ToResource { deed: Deed, delay: Duration },
}

/// What reaches a client.
pub(super) enum Delivery {
    Answer(ReplyTo, Answer),
    Return(Return),
    Hint(LossHint, OwnerId),
}

impl Delivery {
    pub(super) fn deliver(self) {
        match self {
            Self::Answer(to, answer) => to.answer(answer),
            Self::Return(hand_over) => hand_over(),
            Self::Hint(hint, owner) => hint.fire(owner),
        }
    }
}

/// What a client has sent and the network hasn't taken yet, with the true time at which it did.
pub(super) type Outbox = Arc<Mutex<Vec<(Nanos, Sent)>>>;

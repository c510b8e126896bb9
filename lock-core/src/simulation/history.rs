//! What happened in a run, by true time.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Nanos;
use super::fault;
use crate::{Operation, OwnerId};

/// Everything that happened, shared by those who write it down.
#[derive(Debug, Clone, Default)]
pub(super) struct History(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    events: Vec<Event>,
    /// The true time of what is done now at a resource.
    now: Nanos,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Event {
    pub(super) at: Nanos,
    /// `None`: the store, or nobody.
    pub(super) client: Option<usize>,
    pub(super) what: What,
}

/// Which acquisition of a trial.
pub(super) type Op = usize;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    // The network and the hosts
    /// A client sent a request.
    Sent { nth: u64, operation: Operation, key: String, owner: OwnerId },
    /// Something kept a client from the store, or from running, until then.
    Disturbed { what: Disturbance, until: Nanos },
    /// It was killed.
    Killed,
    // The store
    /// It granted a lock, or refreshed the grant for the owner that has it.
    Granted { key: String, owner: OwnerId, token: u64 },
    /// It freed a lock for its owner.
    Freed { key: String, owner: OwnerId },
    /// It lost these owners' leases: who has one believes in it for up to a TTL.
    Robbed { owners: Vec<OwnerId> },
    /// Its clock jumped: ahead, these owners' leases end too early unless they are renewed before; back by so much,
    /// and leases live for so much longer, and if it then loses its data, tokens may go back as well.
    ClockJumped { owners: Vec<OwnerId>, back: Nanos },
    /// No fault comes after this.
    Healed,
    /// It still holds this when everybody has let go.
    Remain { key: String, owner: OwnerId },
    // The supervisors
    /// A client was told that a lease isn't its any more.
    Refused { owner: OwnerId, token: u64 },
    // The programs
    /// What this client did at a resource panicked there.
    Failed { client: usize, error: String },
    /// A line of a user's program.
    Note(String),
    /// Before the call.
    Invoked { op: Op, key: String, waits: bool, limit: Option<Duration>, max_hold: Option<Duration> },
    /// After the call: a guard, and until when it promises the lock, if nothing more is heard.
    Acquired { op: Op, owner: OwnerId, token: u64, until: Nanos, supervisor: usize },
    /// After the call.
    NotAcquired { op: Op, error: String },
    /// After the future was dropped.
    Cancelled { op: Op },
    /// The guard still says that it is held.
    Held { op: Op, until: Nanos },
    /// Its holder has done its write, and waits for `lost()` from now on.
    Listens { op: Op },
    /// The guard says that the lock is lost. `told`: by `lost()`, unasked. `over`: when its lease was over, if not before.
    Lost { op: Op, reason: &'static str, told: bool, over: Nanos },
    /// Before the guard is released, dropped, or given to a panic.
    LetGo { op: Op },
    /// After the release.
    Released { op: Op, answer: &'static str },
    /// Before `shutdown`.
    ShuttingDown { supervisor: usize },
    /// After it.
    ShutDown { supervisor: usize, clean: bool },
    /// At the resource.
    Write { key: String, token: u64, value: u64, accepted: bool },
}

/// What kept a client from its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Disturbance {
    Message,
    CutOff,
    Paused,
    Stalled,
    Suspended,
}

impl History {
    pub(super) fn add(&self, at: Nanos, client: Option<usize>, what: What) {
        self.written().events.push(Event { at, client, what });
    }

    /// What is done now at a resource.
    pub(super) fn add_now(&self, what: What) {
        let mut written = self.written();
        let at = written.now;
        written.events.push(Event { at, client: None, what });
    }

    /// Does something whose events aren't told: a dead process's, which come in no order.
    pub(super) fn unheard<T>(&self, deed: impl FnOnce() -> T) -> T {
        let told = self.written().events.len();
        let done = deed();
        self.written().events.truncate(told);
        done
    }

    pub(super) fn set_now(&self, now: Nanos) {
        self.written().now = now;
    }

    /// All events by true time; those of one moment in the order in which they were written.
    pub(super) fn finish(&self) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.written().events);
        events.sort_by_key(|event| event.at);
        events
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event {
    /// Whether a client was granted a lock.
    pub(super) fn is_grant(&self) -> bool {
        matches!(self.what, What::Acquired { .. })
    }
}

/// A number that differs for histories that do. It is the same on every machine and for every build.
pub(super) fn fingerprint(events: &[Event]) -> u64 {
    let mut hasher = DefaultHasher::new();
    events.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Duration::from_nanos(self.at).as_secs_f64();
        let who = self.client.map_or("store   ".into(), |client| format!("client {}", fault::name(client)));
        write!(f, "{at:>10.4}  {who}  {}", self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let till = |until: &Nanos| format!("{:.4}", Duration::from_nanos(*until).as_secs_f64());
        match self {
            Self::Sent { nth, operation, key, owner } => {
                write!(f, "request {nth}: {operation} \"{key}\" for {}", short(*owner))
            }
            Self::Disturbed { what, until } => write!(f, "{what:?} until {}", till(until)),
            Self::Killed => f.write_str("killed"),
            Self::Granted { key, owner, token } => {
                write!(f, "grants \"{key}\" to {} with token {token}", short(*owner))
            }
            Self::Freed { key, owner } => write!(f, "frees \"{key}\" of {}", short(*owner)),
            Self::Robbed { owners } => write!(f, "loses the leases of [{}]", all(owners)),
            Self::ClockJumped { owners, back: 0 } => {
                write!(f, "has its clock jump ahead: leases of [{}] end too early", all(owners))
            }
            Self::ClockJumped { .. } => f.write_str("has its clock jump back"),
            Self::Healed => f.write_str("from now on nothing fails"),
            Self::Remain { key, owner } => write!(f, "still has \"{key}\" granted to {}", short(*owner)),
            Self::Failed { client, error } => write!(f, "client {} {error}", fault::name(*client)),
            Self::Note(line) => f.write_str(line),
            Self::Invoked { op, key, waits, .. } => {
                write!(f, "#{op} {} \"{key}\"", if *waits { "acquires" } else { "tries" })
            }
            Self::Acquired { op, owner, token, until, .. } => {
                write!(f, "#{op} is granted to {} with token {token}, until {}", short(*owner), till(until))
            }
            Self::NotAcquired { op, error } => write!(f, "#{op} fails: {error}"),
            Self::Cancelled { op } => write!(f, "#{op} was dropped"),
            Self::Held { op, until } => write!(f, "#{op} is held, until {}", till(until)),
            Self::Refused { owner, token } => {
                write!(f, "is told that {} has no lease with token {token}", short(*owner))
            }
            Self::Listens { op } => write!(f, "#{op}: its holder listens for the loss"),
            Self::Lost { op, reason, .. } => write!(f, "#{op} is lost: {reason}"),
            Self::LetGo { op } => write!(f, "#{op} is let go"),
            Self::Released { op, answer } => write!(f, "#{op}: the release says {answer}"),
            Self::ShuttingDown { .. } => f.write_str("shuts its supervisor down"),
            Self::ShutDown { clean, .. } => write!(f, "is shut down, {}", if *clean { "clean" } else { "unclean" }),
            Self::Write { key, token, value, accepted } => {
                let verdict = if *accepted { "accepted" } else { "refused" };
                write!(f, "writes {value} to \"{key}\" with token {token}: {verdict}")
            }
        }
    }
}

fn all(owners: &[OwnerId]) -> String {
    owners.iter().map(|owner| short(*owner)).collect::<Vec<_>>().join(", ")
}

/// Enough of an owner to tell it from others.
fn short(owner: OwnerId) -> String {
    owner.to_string()[..6].to_owned()
}

//! The way of an acquire: refresh what is ours, else take our own released record forward, else
//! look, assess, prepare, publish, look again, sweep.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Attempt, BackendError, Contention, ErrorKind, FencingToken, Grant, Operation, Takeover, Ttl,
};

use crate::error::{At, from_io};
use crate::held::{HeldFile, deadline};
use crate::look::{self, Assessment, Current, Verdict};
use crate::os::{self, OwnFile};
use crate::owners::Mine;
use crate::queue::{self, GRACE, Ticket};
use crate::record::{Body, State, timestamp};
use crate::seam::Point;
use crate::shared::Shared;
use crate::slot::Slot;

/// How often an acquire looks again because others were faster, before it says so.
const ROUNDS: u32 = 100;

/// What one round came to.
enum Round {
    Granted(Grant),
    Held(Contention),
    /// Someone was faster, or something was missing; look again.
    Again,
}

/// What became of a file that was to be a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// It is the first of its number, so it is the highest.
    First,
    /// The number is taken: someone was faster.
    Taken,
    /// A directory was missing, or the file itself.
    Missing,
    /// The number had been used before and swept, or others have followed already. The file may stay
    /// there, below the highest, until the next sweep.
    Late,
}

/// What a new generation follows.
struct Base {
    /// The generation to succeed; `None` in an empty directory.
    current: Option<Current>,
    token: u64,
    takeover: Takeover,
}

impl Shared {
    /// Takes the lock if it is free.
    pub(crate) fn try_acquire(&self, request: &AcquireRequest) -> Result<Attempt, BackendError> {
        let ttl = crate::backend::capabilities().grantable(request.ttl()).map_err(|e| e.with_key(request.key()))?;
        let slot = Slot::of(&self.root, request.key());
        self.watches.tidy();
        self.owners.with(&request.claim(), |mine| self.attempt(&slot, request, ttl, mine))
    }

    fn attempt(
        &self,
        slot: &Slot,
        request: &AcquireRequest,
        ttl: Ttl,
        mine: &mut Mine,
    ) -> Result<Attempt, BackendError> {
        let fail = |error: io::Error| {
            from_io(Operation::Acquire, "taking the lock in", slot.directory(), error).with_key(request.key())
        };
        if let Mine::Held(held) = mine {
            if held.renew(&self.host, ttl).map_err(fail)? {
                return Ok(Attempt::Granted(Grant::new(held.token, ttl)));
            }
            *mine = Mine::Nothing;
        }
        if !matches!(mine, Mine::Waiting(_))
            && let Some(held) = self.take_forward(slot, request, ttl).map_err(fail)?
        {
            let grant = Grant::new(held.token, ttl);
            *mine = Mine::Held(held);
            return Ok(Attempt::Granted(grant));
        }
        for _ in 0..ROUNDS {
            match self.round(slot, request, ttl, mine).map_err(fail)? {
                Round::Granted(grant) => return Ok(Attempt::Granted(grant)),
                Round::Held(contention) => return Ok(Attempt::Held(contention)),
                Round::Again => {}
            }
        }
        let message = format!("{} changes faster than it can be taken", slot.directory().display());
        Err(BackendError::new(ErrorKind::Unavailable, Operation::Acquire, message).with_key(request.key()))
    }

    fn round(&self, slot: &Slot, request: &AcquireRequest, ttl: Ttl, mine: &mut Mine) -> io::Result<Round> {
        let base = match self.base(slot, request, mine)? {
            Ok(base) => base,
            Err(contention) => return Ok(Round::Held(contention)),
        };
        self.seam.pause(Point::BeforePublish);
        let token = self.next_token(base.token);
        let body = self.body(request, token, ttl);
        let state = State::Held(deadline(&self.host, ttl));
        let (bytes, header) = body.encode(state)?;
        let (file, from, ticket) = match std::mem::take(mine) {
            Mine::Waiting(ticket) => (ticket.file, ticket.path, Some(ticket.name)),
            _ => self.temporary(Some(request.owner())).map(|(file, from)| (file, from, None))?,
        };
        let number = base.current.as_ref().map_or(0, |current| current.number) + 1;
        let written = self.seam.failure().map_or_else(|| file.write(&bytes), Err);
        let published = written.and_then(|()| self.publish(slot, number, &from, base.current.as_ref()));
        match (published, ticket) {
            (Ok(Published::First), _) => {}
            (Ok(Published::Taken), Some(name)) => {
                // The place in the queue is kept.
                *mine = Mine::Waiting(Ticket { name, path: from, file });
                return Ok(Round::Again);
            }
            (Ok(_), _) => {
                discard(&from);
                return Ok(Round::Again);
            }
            (Err(error), _) => {
                // Nothing partial stays behind, least of all on a full disk.
                discard(&from);
                return Err(error);
            }
        }
        let swept = base.current.is_none_or(|current| sweep(slot, &current).is_ok());
        let token = FencingToken::new(token);
        *mine = Mine::Held(HeldFile { slot: slot.clone(), number, file, header, token, swept });
        Ok(Round::Granted(Grant::new(token, ttl).with_takeover(base.takeover)))
    }

    /// What there is to succeed, or who has it.
    fn base(&self, slot: &Slot, request: &AcquireRequest, mine: &Mine) -> io::Result<Result<Base, Contention>> {
        let Some(current) = look::current(slot)? else {
            return Ok(Ok(Base { current: None, token: 0, takeover: Takeover::None }));
        };
        let Assessment { token, verdict, .. } = {
            let found = look::assess(&self.host, &slot.generation(current.number), &current.file)?;
            if let Verdict::Held(_) = found.verdict {
                return Ok(Err(Contention::new(found.describe(&self.host, request.key(), slot))));
            }
            found
        };
        let takeover = match verdict {
            Verdict::Takeover(takeover) => takeover,
            _ => Takeover::None,
        };
        if let Verdict::Released(Some(ago)) = verdict
            && let Some(left) = GRACE.checked_sub(ago).filter(|left| *left > Duration::ZERO)
        {
            let ticket = match mine {
                Mine::Waiting(ticket) => Some(ticket),
                _ => None,
            };
            if let Some(ahead) = queue::ahead(slot, ticket, false)? {
                return Ok(Err(ahead.contention(&self.host, request.key(), left)));
            }
        }
        Ok(Ok(Base { current: Some(current), token, takeover }))
    }

    /// Publishes the file at `from` as generation `number`, by the rules of [`crate::slot`].
    pub(crate) fn publish(
        &self,
        slot: &Slot,
        number: u64,
        from: &Path,
        succeeds: Option<&Current>,
    ) -> io::Result<Published> {
        let place = slot.generation(number);
        match os::publish(from, &place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Published::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The first lock of this name, or somebody deleted a directory.
                self.create_slot(slot)?;
                return Ok(Published::Missing);
            }
            Err(error) => return Err(error),
        }
        self.seam.pause(Point::AfterPublish);
        // By rule 3. What isn't the first stays where it is: others may look for it there.
        let highest = slot.generations()?.last() == Some(&number);
        let first = highest && succeeds.map_or(Ok(true), |old| os::is_at(&old.file, &slot.generation(old.number)))?;
        Ok(if first { Published::First } else { Published::Late })
    }

    /// A token above `last`, and not below the wall clock.
    pub(crate) fn next_token(&self, last: u64) -> u64 {
        last.saturating_add(1).max(self.host.wall_micros())
    }

    /// What the record says of this request.
    pub(crate) fn body(&self, request: &AcquireRequest, token: u64, ttl: Ttl) -> Body {
        let holder = request.holder();
        Body {
            key: request.key().as_str().to_owned(),
            owner: Some(request.owner().to_string()),
            token,
            ttl_ms: ttl.as_millis(),
            pid: holder.pid(),
            started: self.host.started_of(holder.pid()),
            host: holder.host().to_owned(),
            program: holder.program().to_owned(),
            label: holder.label().map(str::to_owned),
            acquired_at: timestamp(self.host.wall()),
            boot: self.host.boot.clone(),
            time_ns: self.host.time_ns.clone(),
        }
    }

    /// Gives `owner` a place in the queue, if it has none.
    pub(crate) fn enqueue(&self, slot: &Slot, request: &AcquireRequest, mine: &mut Mine) -> Result<(), BackendError> {
        if !matches!(mine, Mine::Nothing) {
            return Ok(());
        }
        let queue = || -> io::Result<Ticket> {
            let arrival = self.host.now();
            let (bytes, _) = self.body(request, 0, request.ttl()).encode(State::Held(arrival))?;
            let (file, from) = self.temporary(Some(request.owner()))?;
            let queued = file.write(&bytes).and_then(|()| Ticket::publish(slot, arrival, request.owner(), file, &from));
            queued.inspect_err(|_| discard(&from))
        };
        *mine = Mine::Waiting(queue().at(Operation::Wait, "queueing in", slot.directory())?);
        Ok(())
    }

    /// A new file on which this process holds the kernel lock, in the directory of temporaries.
    pub(crate) fn temporary(&self, owner: Option<lock_core::OwnerId>) -> io::Result<(OwnFile, PathBuf)> {
        for _ in 0..8 {
            let path = self.temporaries.next(&self.host);
            match OwnFile::create(&path, owner) {
                Ok(file) => return Ok((file, path)),
                Err(error) => match error.kind() {
                    io::ErrorKind::AlreadyExists | io::ErrorKind::WouldBlock => {}
                    io::ErrorKind::NotFound => self.create_root()?,
                    _ => return Err(error),
                },
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

/// Removes what is older than our new generation, in order, the one that it succeeds last.
fn sweep(slot: &Slot, succeeded: &Current) -> io::Result<()> {
    slot.sweep(&succeeded.older)?;
    slot.sweep(&[succeeded.number])
}

/// Removes a file that was not published. If that fails, a later sweep of temporaries does it.
pub(crate) fn discard(path: &Path) {
    let _ = os::remove(path);
}

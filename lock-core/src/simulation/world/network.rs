//! The network: what is sent arrives later, or late, or twice, or not at all.

use std::time::Duration;

use super::World;
use crate::simulation::chance::mixed;
use crate::simulation::clock::{Nanos, nanos};
use crate::simulation::fault::Fate;
use crate::simulation::history::{Disturbance, What};
use crate::simulation::message::{Answer, Deed, Delivery, Envelope, Sent};

/// What is on its way from a client.
pub(super) enum Arrival {
    AtStore(Envelope),
    AtResource { client: usize, deed: Deed },
}

/// A partition: a client and the store don't hear each other.
pub(super) struct Cut {
    pub(super) client: usize,
    pub(super) from: Nanos,
    pub(super) until: Nanos,
    pub(super) kept: bool,
}

impl World {
    /// The network takes what a client sent in a round that ends at `end`.
    pub(super) fn submit(&mut self, client: usize, at: Nanos, sent: Sent, end: Nanos) {
        let (request, reply_to) = match sent {
            Sent::ToResource { deed, delay } => {
                let arrives = (at + self.latency(client, at) + nanos(delay)).max(end + 1);
                self.fly(arrives, Arrival::AtResource { client, deed });
                return;
            }
            Sent::ToStore { request, reply_to } => (request, reply_to),
        };
        let nth = self.requests[client];
        self.requests[client] += 1;
        let (operation, key, owner) = (request.operation(), request.key().to_owned(), request.owner());
        self.history.add(at, Some(client), What::Sent { nth, operation, key, owner });
        let envelope = Envelope { client, nth, request, reply_to };
        let mut soon = at + self.latency(client, mixed(&[nth, 1]));
        if let Some(last) = self.healed.as_mut().map(|last| &mut last[client]) {
            soon = soon.max(*last + 1);
            *last = soon;
        }
        let fails = |world: &mut Self, answer| {
            let reply_to = envelope.reply_to.clone();
            world.deliver(client, soon.max(end + 1), Delivery::Answer(reply_to, answer));
        };
        if let Some((until, kept)) = self.cut(client, at) {
            if kept {
                self.fly(until.max(soon).max(end + 1), Arrival::AtStore(envelope));
            }
            return;
        }
        let fate = self.fates.get(&(true, client, nth)).copied();
        let late = |by: Duration| soon + nanos(by);
        match fate {
            None => {}
            Some(Fate::Lost) => self.disturbed(client, at, soon),
            Some(Fate::ConnectionBreaks) => {
                self.disturbed(client, at, soon);
                fails(self, Answer::refused(operation));
            }
            Some(Fate::Late(by) | Fate::Twice(by)) => self.disturbed(client, at, late(by)),
            Some(Fate::BreaksAndArrivesLate(by)) => {
                self.disturbed(client, at, late(by));
                fails(self, Answer::reset(operation));
            }
        }
        let arrivals = match fate {
            None => vec![soon],
            Some(Fate::Lost | Fate::ConnectionBreaks) => vec![],
            Some(Fate::Late(by) | Fate::BreaksAndArrivesLate(by)) => vec![late(by)],
            Some(Fate::Twice(by)) => vec![soon, late(by)],
        };
        for arrives in arrivals {
            self.fly(arrives.max(end + 1), Arrival::AtStore(envelope.clone()));
        }
    }

    /// The network takes a reply.
    pub(super) fn reply(&mut self, at: Nanos, envelope: &Envelope, answer: Answer, end: Nanos) {
        let (client, nth) = (envelope.client, envelope.nth);
        let soon = at + self.latency(client, mixed(&[nth, 2]));
        let (mut answer, mut arrives) = (answer, soon);
        if let Some((until, kept)) = self.cut(client, at) {
            if !kept {
                return;
            }
            arrives = until.max(soon);
        }
        match self.fates.get(&(false, client, nth)).copied() {
            None => {}
            Some(Fate::Lost) => {
                self.disturbed(client, at, soon);
                return;
            }
            Some(Fate::ConnectionBreaks) => {
                self.disturbed(client, at, soon);
                answer = Answer::reset(envelope.request.operation());
            }
            Some(Fate::Late(by) | Fate::BreaksAndArrivesLate(by) | Fate::Twice(by)) => {
                arrives += nanos(by);
                self.disturbed(client, at, arrives);
            }
        }
        self.deliver(client, arrives.max(end + 1), Delivery::Answer(envelope.reply_to.clone(), answer));
    }

    pub(super) fn disturbed(&self, client: usize, at: Nanos, until: Nanos) {
        self.history.add(at, Some(client), What::Disturbed { what: Disturbance::Message, until });
    }

    /// What is still on its way arrives by then.
    pub(super) fn hurry(&mut self, latest: Nanos) {
        for ((at, sequence), arrival) in std::mem::take(&mut self.in_flight) {
            self.in_flight.insert((at.min(latest), sequence), arrival);
        }
        for process in &mut self.processes {
            for ((at, sequence), delivery) in std::mem::take(&mut process.inbox) {
                process.inbox.insert((at.min(latest), sequence), delivery);
            }
        }
    }

    /// A way's usual time: mostly short, now and then ten times as long.
    pub(super) fn latency(&self, client: usize, salt: u64) -> Nanos {
        let draw = mixed(&[self.seed, client as u64, salt, 4]);
        let unit = self.ttl / 1_000;
        let longest = if draw.is_multiple_of(16) { 20 } else { 3 };
        unit / 2 + (draw >> 8) % (unit * longest)
    }

    pub(super) fn cut(&self, client: usize, at: Nanos) -> Option<(Nanos, bool)> {
        let cut = self.cuts.iter().find(|cut| cut.client == client && (cut.from..cut.until).contains(&at))?;
        Some((cut.until, cut.kept))
    }

    pub(super) fn fly(&mut self, at: Nanos, arrival: Arrival) {
        let sequence = self.next();
        self.in_flight.insert((at, sequence), arrival);
    }

    pub(super) fn deliver(&mut self, client: usize, at: Nanos, delivery: Delivery) {
        let sequence = self.next();
        if self.processes[client].is_alive() {
            self.processes[client].inbox.insert((at, sequence), delivery);
        }
    }
}
